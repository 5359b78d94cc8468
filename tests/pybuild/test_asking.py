"""Questions at a terminal, and an end of input (^D) instead of an answer."""

import os
import pty
from pathlib import Path

import pytest

from tests.tool import Tool


def typed(tool: Tool, words: tuple[str, ...], answers: list[bytes]) -> tuple[int, str]:
    """Run pybuild on a terminal of its own, and type an answer to each question."""
    pid, terminal = pty.fork()
    if not pid:
        argv = tool.argv("pybuild", *words)
        os.execve(argv[0], argv, tool.env)
    shown = b""
    try:
        while data := os.read(terminal, 4096):
            shown += data
            if answers and shown.rstrip().endswith((b":", b"[y/N]")):
                os.write(terminal, answers.pop(0))
    except OSError:                                      # the other side of the terminal is closed
        pass
    finally:
        os.close(terminal)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), shown.decode()


@pytest.mark.parametrize(("words", "answers"), [
    (("login", "registry.invalid"), [b"\x04"]), (("login", "registry.invalid"), [b"me\n", b"\x04"]), (("login", "-u", "me", "registry.invalid"), [b"\x04"])])
def test_end_of_input_is_no_password(tmp_path: Path, words: tuple[str, ...], answers: list[bytes]) -> None:
    status, shown = typed(Tool(tmp_path / "r"), words, answers)
    assert status == 2 and "error: the input ended before there was an answer" in shown


def test_end_of_input_is_no_consent(tmp_path: Path) -> None:
    tool = Tool(tmp_path / "r")
    tool.pybuild("import", "-", stdin=bytes(1024))
    status, shown = typed(tool, ("prune",), [b"\x04"])
    assert status in (0, 1) and "Traceback" not in shown and "fault of the tool" not in shown
    assert tool.pybuild("images", "-q").out


@pytest.mark.parametrize(("words", "message"), [(("-u", "me", "-p", "caf\udce9"), "UTF-8"), (("-u", "m:e", "-p", "x"), "`:`")])
def test_credential_that_cannot_be_sent_is_misuse(tmp_path: Path, words: tuple[str, ...], message: str) -> None:
    done = Tool(tmp_path / "r").run("pybuild", "login", *words, "127.0.0.1:1")
    assert done.status == 2 and message in done.err and done.err.count("error:") == 1
