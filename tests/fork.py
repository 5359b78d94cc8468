"""A function in a child process: what it returns, or its failure."""

import os
import pickle
import traceback
from collections.abc import Callable
from typing import Any, TypeVar

T = TypeVar("T")


def in_fork(function: Callable[[], T]) -> T:
    """What it returns (picklable). Its exception fails the test, with the child's traceback."""
    read, write = os.pipe()
    pid = os.fork()
    if not pid:
        try:
            os.close(read)
            answer: tuple[bool, Any] = (True, function())
        except BaseException:
            answer = (False, traceback.format_exc())
        with open(write, "wb") as file:
            pickle.dump(answer, file)
        os._exit(0)
    os.close(write)
    with open(read, "rb") as file:
        data = file.read()
    os.waitpid(pid, 0)
    assert data, "the child died without an answer"
    done, value = pickle.loads(data)
    assert done, value
    return value  # type: ignore[no-any-return]           # what the child pickled
