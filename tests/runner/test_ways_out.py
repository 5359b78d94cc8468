"""The guestbook as an ordinary user runs it, through pasta, through slirp4netns, and through the relay: on a private machine that has just that.

Where there is no helper, the first command that needs a network says in one line what is missing, and the command that would bring it.
"""

import os
import shutil
import signal
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from kernel.syscalls import MS_BIND, mount
from tests.conftest import BUSYBOX
from tests.examples.steps import Play, playing
from tests.runner.agent.conftest import ground as ground
from tests.runner.agent.ground import MACHINE, SERVER, Ground, eventually, name_server, tell_peer
from tests.tool import Tool
from tests.users import ROOT, User

pytestmark = [pytest.mark.userns, pytest.mark.slow]

HELPERS = ("pasta", "slirp4netns")
ASK = f"import socket; print(socket.create_connection(('{SERVER}', 80), 5).recv(99).decode())"


def without(*names: str) -> None:
    """As if these were not installed."""
    for name in names:
        if path := shutil.which(name):
            mount(b"/dev/null", path.encode(), None, MS_BIND)


@pytest.fixture
def tool(ground: Ground, unprivileged: User) -> Tool:
    """One root directory for all tests here, so that the image is built once."""
    if not Path(BUSYBOX).exists():
        pytest.skip("an image for tests needs busybox (package busybox-static)")
    ground.serve(ground.world, tell_peer, 80)
    ground.serve(ground.world, name_server, SERVER, {"example.org": SERVER})
    return Tool(ground.root("ways", unprivileged), unprivileged)


@pytest.fixture(scope="module", autouse=True)
def nothing_left(unprivileged: User) -> Iterator[None]:
    yield
    unprivileged.run(["rm", "-rf", str(unprivileged.home / "agent" / "ways")])


@pytest.fixture
def guestbook(tool: Tool) -> Iterator[Play]:
    assert tool.user
    directory = tool.user.home / "agent" / "guestbook"
    shutil.rmtree(directory, ignore_errors=True)
    shutil.copytree(ROOT / "examples/guestbook", directory, ignore=shutil.ignore_patterns("__pycache__"))
    for path in (directory, *directory.rglob("*")):
        os.chown(path, tool.user.uid, tool.user.gid)
    with playing(tool, directory, {"PORT": "8080"}) as play:
        yield play
    shutil.rmtree(directory)


def steps_until(command: str) -> "list[dict[str, object]]":
    """What the example says is to be seen, as far as that step."""
    found: "list[dict[str, object]]" = tomllib.loads((ROOT / "examples/guestbook/expect.toml").read_text())["step"]
    return found[:next(number for number, step in enumerate(found) if step.get("pyup") == command)]


@pytest.mark.parametrize("helper", [*HELPERS, "relay"])
def test_the_guestbook_of_an_ordinary_user(ground: Ground, guestbook: Play, helper: str) -> None:
    if helper != "relay":
        if not shutil.which(helper):
            pytest.skip(f"{helper} is not installed")
        ground.allow_tun()
        without(*set(HELPERS) - {helper})
    done = guestbook.pyup("up -d --wait").ok()
    assert done.err.count("note: ") == (helper == "relay"), done
    for step in steps_until("plan"):
        guestbook.step(step)
    assert guestbook.pyup(f'exec -T web python3 -c "{ASK}"').ok().out == f"{MACHINE}\n"
    assert set(running(guestbook.tool, *HELPERS)) == ({helper} if helper != "relay" else set())
    for pid in running(guestbook.tool, "pyup-ports").values():
        os.kill(pid, signal.SIGKILL)                      # another one carries on, without any command
    guestbook.step({"curl": "web:8080/", "contains": "Welcome, Ada!"})
    assert eventually(lambda: guestbook.pyup(f'exec -T web python3 -c "{ASK}"').out) == f"{MACHINE}\n"


def running(tool: Tool, *names: str) -> "dict[str, int]":
    """Which of these the tool's user runs on this private machine: one of an earlier test's may still be about to end."""
    found, machine = {}, os.readlink("/proc/self/ns/net")
    for path in Path("/proc").glob("[0-9]*"):
        try:
            program, name = Path((path / "cmdline").read_text().partition("\0")[0]).name, (path / "comm").read_text().strip()
            if {program, name} & set(names) and tool.user and path.stat().st_uid == tool.user.uid and os.readlink(path / "ns/net") == machine:
                found[program if program in names else name] = int(path.name)
        except OSError:
            continue                                      # it has just ended
    return found


# ---------------------------------------------------------------- what is said
SERVICE = "services: {a: {image: busybox, command: sleep 1000, stop_grace_period: 0s}}\n"


@pytest.mark.parametrize(("present", "tun", "remedy"), [
    ((), True, "`sudo apt-get install passt` would allow pasta"),
    ((), False, "`sudo sh -c 'apt-get install passt; chmod 666 /dev/net/tun'` would allow pasta"),
    (("pasta",), False, "`sudo chmod 666 /dev/net/tun` would allow pasta"),
    (("slirp4netns",), False, "`sudo chmod 666 /dev/net/tun` would allow slirp4netns")])
@pytest.mark.parametrize("command", ["up", "run", "build"])
def test_what_is_missing_is_said_once(ground: Ground, tool: Tool, command: str, present: "tuple[str, ...]", tun: bool, remedy: str) -> None:
    if not shutil.which("apt-get"):
        pytest.skip("which command installs packages is another here")
    assert tool.user
    if tun:
        ground.allow_tun()
    without(*set(HELPERS) - set(present))
    tool.pybuild("base", "busybox", "-t", "busybox")
    directory = tool.user.directory(tool.user.home / "agent" / "said")
    (directory / "compose.yaml").write_text(SERVICE)
    (directory / "Dockerfile").write_text("FROM busybox\nRUN true\n")
    try:
        done = {
            "up": lambda: tool.pyup("up", "-d", cwd=directory), "run": lambda: tool.pyup("container", "run", "--rm", "busybox", "true"),
            "build": lambda: tool.pybuild("build", "--no-cache", "--progress", "plain", str(directory))}[command]()
        notes = [line for line in done.err.splitlines() if "note: " in line]
        assert len(notes) == 1 and remedy in notes[0] and "relay: TCP and UDP, not ping" in notes[0], done
        assert "note: " not in tool.pyup("container", "run", "--rm", "busybox", "true").err
    finally:
        tool.pyup("down", cwd=directory)
        shutil.rmtree(directory)
