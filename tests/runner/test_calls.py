"""What the shim tells whoever asked for a container, and stays attached to it."""

import os
import socket
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from runner.agent.loop import Loop
from runner.calls import Calls
from runner.log import STDOUT, LogWriter
from runner.logreader import LogReader
from runner.state import Place
from sandbox import wire


def told(begin_after: bytes, after: bytes, directory: Path) -> "tuple[list[tuple[Any, ...]], bytes]":
    """Messages of the welcome, and the output from where they say on: `begin_after` is in the log before the launch, `after` between it and the welcome."""
    log = LogWriter(str(directory / "log"))
    if begin_after:
        log.append(STDOUT, begin_after, 1)
    shim: Any = SimpleNamespace(loop=Loop(), log=log, place=Place(str(directory), str(directory), "one"), begin=(log.generation, log.size), console=-1, pid=7, state=SimpleNamespace(warnings=()),
                                order=SimpleNamespace(open_stdin=False, stdin_once=False, spec=SimpleNamespace(terminal=None)))
    if after:
        log.append(STDOUT, after, 2)
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    (directory / "c").mkdir()
    calls = Calls(shim)
    calls.listen()
    calls.welcome(wire.socket_of(os.dup(theirs.fileno())), attached=True, reaper=False)
    calls.silence()
    calls.close()
    theirs.close()
    messages = []
    with ours:
        while (message := wire.receive(ours)[0]) is not None:
            messages.append(message)
    reader = LogReader(str(directory / "log"), *messages[1][1:3])
    output = b"".join(record.data for record in reader.read())
    reader.close()
    log.close()
    return messages, output


@pytest.mark.parametrize("before", [b"", b"of an earlier run\n"])
def test_what_is_written_before_it_is_known_to_run_is_shown(tmp_path: Path, before: bytes) -> None:
    messages, output = told(before, b"at once\n", tmp_path)
    assert [message[0] for message in messages] == ["started", "attached", "data"]
    assert output == b"at once\n"


def test_nothing_is_told_of_output_before_there_is_some(tmp_path: Path) -> None:
    messages, output = told(b"of an earlier run\n", b"", tmp_path)
    assert [message[0] for message in messages] == ["started", "attached"]
    assert output == b""
