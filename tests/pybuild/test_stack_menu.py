"""Keys that `up --menu` answers to, on a terminal."""

import pytest

from tests.pybuild.stacking import Stack, Stacks, services, sleeping
from tests.runner.terminal import Terminal
from tests.tool import Tool
from tests.users import User

pytestmark = pytest.mark.userns
WATCHED = "develop: {watch: [{path: src, action: sync, target: /src}]}"


class Seat:
    """Somebody at a terminal, who runs commands of a stack."""

    def __init__(self, it: Stack) -> None:
        self.tool: Tool = it.tool
        self.user: User | None = it.tool.user


def up(it: Stack, *words: str) -> Terminal:
    return Terminal(Seat(it), "-f", str(it.directory / "compose.yaml"), "-p", it.name, "up", *words)


def test_detaching_leaves_all_running(stack: Stacks) -> None:
    it = stack(services(sleeping()))
    with up(it, "--menu") as terminal:
        terminal.expect("d: detach")
        terminal.type("x")                                # means nothing
        terminal.type("d")
        assert terminal.end() == 0
    assert it.states("a") == ["running"]


def test_watching_begins_and_ends(stack: Stacks) -> None:
    it = stack(services(sleeping(WATCHED)))
    it.write("src/file", "1")
    with up(it, "--menu") as terminal:
        terminal.expect("w: watch")
        terminal.type("w")
        terminal.expect("Watch enabled")
        it.write("src/file", "2")
        terminal.expect("Syncing service")
        it.until(lambda: it.sh("a", "cat /src/file") == "2")
        terminal.type("w")
        terminal.expect("Watch disabled")
        terminal.type("d")
        assert terminal.end() == 0


def test_nothing_to_watch_is_said_and_all_goes_on(stack: Stacks) -> None:
    it = stack(services(sleeping()))
    with up(it, "--menu") as terminal:
        terminal.expect("w: watch")
        terminal.type("w")
        terminal.expect("none of the services has anything to be watched")
        terminal.type("\x03")
        assert terminal.end() == 130
    assert it.states("a") == ["exited"]


def test_without_a_terminal_there_is_no_menu(stack: Stacks) -> None:
    it = stack("services: {a: {image: busybox, command: 'true'}}\n")
    assert "detach" not in it("up", "--menu", env={"COMPOSE_MENU": "1"}).err
