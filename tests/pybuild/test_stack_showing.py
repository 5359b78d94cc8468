"""What is drawn while a project changes: times of what is done now, and lines of containers that come in between."""

import io
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from pybuild.stack.lines import LineWriter
from pybuild.stack.showing import Printer
from pybuild.stack.signals import Signals
from runner import progress as words
from runner.container import Container, ContainerSpec
from runner.logreader import Line
from runner.progress import Progress
from runner.reactor import Reactor
from store.digest import Digest
from store.events import Events
from store.images import Runtime
from tests.pybuild.stacking import Stacks, services, sleeping


def told(*steps: "tuple[float, str]") -> str:
    """What is drawn of a container's news, each at its time."""
    times: Iterator[float] = iter([time for time, _ in steps])
    out = io.StringIO()
    show = Printer("tty", out, clock=lambda: next(times))
    for _, word in steps:
        show(Progress("Container", "a", word))
    return out.getvalue()


def test_a_time_goes_on_from_beginning_to_end() -> None:
    assert "Started  3.0s" in told((0, words.STARTING), (3, words.STARTED))


def test_a_time_begins_anew_with_what_is_done_next() -> None:
    found = told((0, words.STARTING), (1, words.STARTED), (100, words.STOPPING), (102, words.STOPPED))
    assert "Stopping  0.0s" in found and "Stopped  2.0s" in found


def container(name: str) -> Container:
    nothing = Runtime((), (), (), "", "", (), (), "", -1, None, (), "linux/amd64", ("/lower",))
    return Container("1" * 64, name, 0, Digest("sha256:" + "2" * 64), ContainerSpec(image="i"), nothing)


def test_a_line_of_a_container_is_not_drawn_over(capfd: pytest.CaptureFixture[str]) -> None:
    out = io.StringIO()
    show = Printer("tty", out)
    write = LineWriter("p", ansi="never", before=show.pause)
    show(Progress("Container", "p-a", words.STARTED))
    show(Progress("Container", "p-b", words.STARTING))
    write(container("p-a"), Line(0, 1, b"hello\n"))
    drawn = len(out.getvalue())
    show(Progress("Container", "p-b", words.STARTED))
    assert capfd.readouterr().out == "a  | hello\n"
    assert "\x1b[" in out.getvalue()[drawn:] and not out.getvalue()[drawn:].startswith("\x1b[3A")
    assert "p-a" not in out.getvalue()[drawn:]             # that is above the line, and stays there


def test_an_end_of_a_container_is_not_drawn_over(capfd: pytest.CaptureFixture[str]) -> None:
    paused: list[str] = []
    LineWriter("p", ansi="never", before=lambda: paused.append("")).exited(container("p-a"), 3, restarting=False)
    assert capfd.readouterr().out == "a exited with code 3\n" and len(paused) == 1


def test_a_signal_is_not_lost_because_the_one_before_it_was_answered_by_an_error(tmp_path: Path) -> None:
    heard: list[int] = []

    def handler(number: int) -> None:
        heard.append(number)
        raise ValueError

    reactor = Reactor(Events(str(tmp_path)))
    with reactor, Signals(reactor, handler):
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGTERM)
        for _ in range(2):
            with pytest.raises(ValueError):
                reactor.turn()
    assert sorted(heard) == [signal.SIGINT, signal.SIGTERM]


def test_a_dry_run_of_what_is_done_to_each_says_that_it_is_one(stack: Stacks) -> None:
    it = stack(services(sleeping()))
    it("up", "-d")
    for command in ("kill", "pause"):
        assert f"{it.name}-a-1 {command.capitalize().removesuffix('e')}ing (dry run)" in it("--dry-run", command).err
    assert it.states("a") == ["running"]


def test_statistics_of_a_project_without_containers_are_one_clear_error(stack: Stacks) -> None:
    it = stack(services(sleeping()))
    assert f"project `{it.name}` has no running container" in it.fails("stats", "--no-stream").err


def test_a_plan_that_was_asked_for_wrongly_is_not_taken_for_changes(stack: Stacks) -> None:
    assert stack(services(sleeping())).run("plan", "--bogus").status == 1
