"""Sandboxes whose command crun or runc starts: what holds for our own holds for them, as root and as an ordinary user."""

import os
import shutil
import signal
from pathlib import Path
from typing import Any

import pytest

from sandbox import runtimes
from sandbox.client import connect
from sandbox.errors import InvalidSpec, SandboxError
from sandbox.spec import Limits, Overlay, Proc, SandboxSpec
from tests.sandbox import test_spawn
from tests.sandbox.harness import PATH, Box, Outcome

pytestmark = pytest.mark.userns
# tests of our own sandboxes that are collected here once more, with the `box` below
SHARED = (
    "additional_groups", "bind_of_missing_source", "bind_sees_the_callers_file", "capabilities_of_root_and_user",
    "command_missing_by_path", "command_missing_in_path", "command_not_executable", "exit_status_is_handed_on",
    "host_network_is_the_callers", "hostname_and_domainname", "loopback_is_up_and_alone", "masked_paths", "mounts_are_ordered_by_depth",
    "no_descriptor_leaks", "nothing_of_the_host_is_seen", "overlay_as_a_mount_with_a_source_inside", "owners_are_kept", "readonly_root",
    "removed_files_become_whiteouts", "rlimits_are_set_and_clamped", "seccomp_is_on_and_can_be_off", "spawn_true",
    "streams_are_the_callers", "symlink_is_there_and_gone", "sysctl_of_own_namespace", "sysctl_of_the_machine_is_refused", "umask",
    "unknown_user_and_group", "user_by_name_with_groups_and_home", "user_by_number_and_group_by_name", "working_directory_is_made",
    "working_directory_through_magic_link_is_refused", "write_file_mode_owner_and_readonly")
globals().update({f"test_{name}": getattr(test_spawn, f"test_{name}") for name in SHARED})


def program(name: str) -> str:
    path = shutil.which(name)
    if not path:
        pytest.skip(f"{name} is not installed (package {name})")
    return path


class ThroughRuntime(Box):
    def __init__(self, box: Box, runtime: str) -> None:
        super().__init__(box.rootfs, box.run_directory, box.scratch, box.user)
        self.runtime = runtime

    def run(self, *argv: str, stdin: bytes = b"", lower: tuple[str, ...] = (), **fields: Any) -> Outcome:
        return super().run(*argv, stdin=stdin, lower=lower, **{"runtime": self.runtime, **fields})


@pytest.fixture(params=["root-crun", "root-runc", "user-crun", "user-runc"])
def box(request: pytest.FixtureRequest) -> ThroughRuntime:
    who, name = request.param.split("-")
    return ThroughRuntime(request.getfixturevalue(f"{who}_box"), program(name))


@pytest.fixture(params=["crun", "runc"])
def runtime(request: pytest.FixtureRequest) -> str:
    return program(request.param)


# ---------------------------------------------------------------- what is different
def test_words_that_are_no_text_are_refused(box: ThroughRuntime) -> None:
    outcome = box.run("/bin/echo", "\udcff")
    assert outcome.error == "InvalidSpec" and "no UTF-8" in outcome.message


def test_a_further_proc_is_refused(box: ThroughRuntime) -> None:
    outcome = box.run("/bin/true", mounts=(Proc("/p"),))
    assert (outcome.error, outcome.message) == ("InvalidSpec", "a further /proc `/p` cannot be had with another runtime")
    assert outcome.upper == {}


def test_an_init_of_ours_is_refused(box: ThroughRuntime) -> None:
    assert box.run("/bin/true", init=True).message == "an init of ours cannot be run by another runtime"


def test_what_the_runtime_itself_says_is_one_line(root_box: Box, tmp_path: Path) -> None:
    broken = tmp_path / "runc"
    broken.write_text('#!/bin/sh\nwhile [ "$1" != --log ]; do shift; done\n'
                      'printf %s \'{"level":"error","msg":"first line\\nsecond line"}\' > $2; exit 1\n')
    broken.chmod(0o755)
    outcome = root_box.run("/bin/true", runtime=str(broken))
    assert (outcome.error, outcome.message) == ("SandboxError", "cannot use `runc`: first line")
    assert outcome.upper == {}


def test_a_runtime_that_says_nothing_is_one_line(root_box: Box, tmp_path: Path) -> None:
    broken = tmp_path / "crun"
    broken.symlink_to("/bin/false")
    assert root_box.run("/bin/true", runtime=str(broken)).message == "cannot use `crun`: `create` failed without a word"


# ---------------------------------------------------------------- ends
def test_terminal(root_box: Box, tmp_path: Path, runtime: str) -> None:
    with connect(str(root_box.run_directory)) as client, \
            client.spawn(_spec(root_box, tmp_path, runtime, "tty; stty size; echo err >&2", terminal=(33, 77)), 0, 1, 2) as running:
        text = b""
        while True:
            try:
                data = os.read(running.terminal, 4096)
            except OSError:                               # EIO: its last inner end is closed
                break
            text += data
        assert running.wait().code == 0
    assert text.split() == [b"/dev/pts/0", b"33", b"77", b"err"]


def test_signals_reach_the_command(root_box: Box, tmp_path: Path, runtime: str) -> None:
    read, write = os.pipe()
    script = "trap 'exit 5' USR1; echo; while :; do sleep 0.05; done"
    with connect(str(root_box.run_directory)) as client, client.spawn(_spec(root_box, tmp_path, runtime, script), 0, write) as running:
        assert os.read(read, 1) == b"\n"
        running.kill(signal.SIGUSR1)
        assert running.wait().code == 5
    os.close(read)
    os.close(write)


def test_closing_the_connection_kills(root_box: Box, tmp_path: Path, runtime: str) -> None:
    with _sleeping(root_box, tmp_path, runtime) as (_, running):
        pidfd = os.dup(running.pidfd)
        running.close()
        _await_end(pidfd)


def test_death_of_the_keeper_is_the_death_of_the_command(root_box: Box, tmp_path: Path, runtime: str) -> None:
    with _sleeping(root_box, tmp_path, runtime) as (_, running):
        os.kill(_parent(running.pid), signal.SIGKILL)
        assert running.wait().signal == signal.SIGKILL


def test_memory_that_runs_out_is_told(root_box: Box, tmp_path: Path, runtime: str) -> None:
    spec = _spec(root_box, tmp_path, runtime, "exec dd if=/dev/zero of=/dev/null bs=64M count=1", limits=Limits(memory=16 << 20, memory_swap=16 << 20))
    with connect(str(root_box.run_directory)) as client, client.spawn(spec) as running:
        if running.warnings:
            pytest.skip(running.warnings[0])
        exit = running.wait()
    assert (exit.code, exit.oom) == (137, True)


def test_nothing_is_left(root_box: Box, tmp_path: Path, runtime: str) -> None:
    """No cgroup, no mount, no file of the runtime's."""
    before = _groups(), sorted(os.listdir("/run"))
    with connect(str(root_box.run_directory)) as client:
        for script in ("exit 3", "sleep 1010 & exit 4"):
            with client.spawn(_spec(root_box, tmp_path, runtime, script)) as running:
                running.wait()
        with pytest.raises(SandboxError), client.spawn(_spec(root_box, tmp_path, runtime, "true", cwd="/etc/passwd")):
            pass
    assert os.listdir(root_box.run_directory / "stage") == []
    assert (_groups(), sorted(os.listdir("/run"))) == before


def _spec(box: Box, scratch: Path, runtime: str, script: str, **fields: Any) -> SandboxSpec:
    for name in ("upper", "work"):
        (scratch / name).mkdir(exist_ok=True)
    return SandboxSpec(Overlay((str(box.rootfs),), str(scratch / "upper"), str(scratch / "work"), volatile=False), ("/bin/sh", "-c", script), env=(PATH,),
                       runtime=runtime, **fields)


class _sleeping:
    def __init__(self, box: Box, scratch: Path, runtime: str) -> None:
        self._client = connect(str(box.run_directory))
        self._running = self._client.spawn(_spec(box, scratch, runtime, "exec sleep 1010"))

    def __enter__(self) -> "tuple[Any, Any]":
        return self._client, self._running

    def __exit__(self, *_: object) -> None:
        self._running.close()
        self._client.close()


def _parent(pid: int) -> int:
    return next(int(line.split()[1]) for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("PPid:"))


def _await_end(pidfd: int) -> None:
    import select

    poll = select.poll()
    poll.register(pidfd, select.POLLIN)
    assert poll.poll(30_000), "it has not ended"
    os.close(pidfd)


def _groups() -> list[str]:
    """Groups that are neither another test's nor the shim's of somebody."""
    return sorted(name for hierarchy in ("memory", "systemd", "pids") if os.path.isdir(f"/sys/fs/cgroup/{hierarchy}")
                  for name in os.listdir(f"/sys/fs/cgroup/{hierarchy}") if name.startswith(("pybuild", "unit")) and not name.startswith("pybuild-"))


# ---------------------------------------------------------------- names
@pytest.fixture
def directory(tmp_path: Path) -> str:
    (tmp_path / "crun").write_text("#!/bin/sh\n")
    (tmp_path / "crun").chmod(0o755)
    (tmp_path / "runc").write_text("not executable")
    return str(tmp_path)


def test_find_by_name_and_by_path(directory: str) -> None:
    assert runtimes.find("crun", f"/nowhere:{directory}") == runtimes.find(f"{directory}/crun", "/nowhere") == f"{directory}/crun"


@pytest.mark.parametrize("name", ["", "pybuild"])
def test_find_ours(directory: str, name: str) -> None:
    assert runtimes.find(name, directory) == ""


@pytest.mark.parametrize(("name", "reason"), [("runc", "is not installed"), ("kata", "is unknown"), ("../crun", "is unknown"), ("/bin/sh", "is unknown"),
                                              ("/nowhere/crun", "is not installed")])
def test_find_says_what_there_is(directory: str, name: str, reason: str) -> None:
    with pytest.raises(InvalidSpec) as caught:
        runtimes.find(name, directory)
    assert str(caught.value) == f"runtime `{name}` {reason}" and "is `crun`;" in caught.value.help
