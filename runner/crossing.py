"""Work on the files of a running container that has a user namespace of its own: done by a child that is its root there, so that owners are the
container's.

Bytes come and go through a pipe, and what the child raises is raised here.
"""

import os
import pickle

from kernel.syscalls import CLONE_NEWUSER, setns
from sandbox.privileges import become_root

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from typing import NoReturn

_CHUNK = 1 << 18


def produced(namespace: int, make: "Callable[[], Iterable[bytes]]") -> "Iterator[bytes]":
    """What `make` gives, as the root of the user namespace behind `namespace` sees it."""
    read, write = os.pipe2(os.O_CLOEXEC)
    verdict, tell = os.pipe2(os.O_CLOEXEC)
    pid = os.fork()
    if not pid:
        os.close(read)
        _work(namespace, tell, lambda: _pour(make(), write))
    os.close(write)
    os.close(tell)
    try:
        while data := os.read(read, _CHUNK):
            yield data
    finally:
        os.close(read)                                    # a child that still writes ends by it
        _judge(pid, verdict)


def consumed(namespace: int, chunks: "Iterable[bytes]", take: "Callable[[Iterator[bytes]], object]") -> None:
    """Give the chunks to `take`, which is run by the root of the user namespace behind `namespace`."""
    read, write = os.pipe2(os.O_CLOEXEC)
    verdict, tell = os.pipe2(os.O_CLOEXEC)
    pid = os.fork()
    if not pid:
        os.close(write)
        _work(namespace, tell, lambda: take(_drawn(read)))
    os.close(read)
    os.close(tell)
    try:
        _pour(chunks, write)
    finally:
        os.close(write)
        _judge(pid, verdict)


def _drawn(fd: int) -> "Iterator[bytes]":
    while data := os.read(fd, _CHUNK):
        yield data


def _pour(chunks: "Iterable[bytes]", fd: int) -> None:
    """As far as they are wanted."""
    for chunk in chunks:
        view = memoryview(chunk)
        while view:
            try:
                view = view[os.write(fd, view):]
            except BrokenPipeError:
                return


def _work(namespace: int, tell: int, work: "Callable[[], object]") -> "NoReturn":
    try:
        setns(namespace, CLONE_NEWUSER)
        become_root()
        work()
    except BaseException as error:
        os.write(tell, pickle.dumps(error))
    finally:
        os._exit(0)


def _judge(pid: int, verdict: int) -> None:
    with open(verdict, "rb") as file:
        said = file.read()
    os.waitpid(pid, 0)
    if said:
        raise pickle.loads(said)
