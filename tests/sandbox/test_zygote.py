"""The fork server: started once however many ask at once, left when idle, replaced when it is gone, never in the way."""

import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from sandbox import wire
from sandbox.client import Client, connect
from sandbox.errors import SandboxError, ZygoteLost
from sandbox.spec import Directory, Overlay, SandboxSpec, Tmpfs
from sandbox.zygote import WARM
from tests.users import User, needs_root

pytestmark = [pytest.mark.userns, needs_root]
PATH = (("PATH", "/bin"),)


@pytest.fixture
def spec(rootfs: Path) -> SandboxSpec:
    """A read-only root with the mount points that the small test root lacks, from an empty layer above."""
    return SandboxSpec(Overlay((str(_points(rootfs)), str(rootfs))), ("/bin/true",), env=PATH)


def _points(rootfs: Path) -> Path:
    points = rootfs.parent / "points"
    for name in ("proc", "sys", "dev", "mnt"):
        (points / name).mkdir(parents=True, exist_ok=True)
    return points


def zygotes(run_directory: Path) -> list[int]:
    """Pids of the processes that serve it, units included."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if os.fsencode(run_directory) in words:
            found.append(int(pid))
    return found


def server(client: Client) -> int:
    """Pid of the zygote behind it."""
    socket = client._dial()
    hello, _ = wire.receive(socket)
    socket.close()
    assert hello
    return int(hello[2])


def wait_for_end(pidfds: list[int]) -> None:
    for pidfd in pidfds:
        assert select.select([pidfd], [], [], 60)[0], "it did not end within a minute"
        os.close(pidfd)


def children(pid: int) -> list[int]:
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def wait_until(condition: Callable[[], bool]) -> None:
    """Look again and again, for a minute at most."""
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, "it did not come about within a minute"
        time.sleep(0.005)


def true(client: Client, spec: SandboxSpec) -> int:
    with client.spawn(spec) as running:
        return running.wait().code


def test_many_starters_get_one_zygote(run_directory: Path, spec: SandboxSpec) -> None:
    pids = []
    for _ in range(8):
        pid = os.fork()
        if not pid:
            code = 99
            try:
                with connect(str(run_directory)) as client:
                    code = true(client, spec)
            finally:
                os._exit(code)
        pids.append(pid)
    assert [os.waitpid(pid, 0)[1] for pid in pids] == [0] * 8
    sessions = {os.getsid(pid) for pid in zygotes(run_directory)}
    with connect(str(run_directory)) as client:
        assert server(client) in sessions
        assert len([pid for pid in sessions if pid == os.getpgid(pid) and _parent(pid) == 1]) == 1
        client.retire()


def _parent(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def test_leaves_when_idle_with_its_units_and_its_socket(run_directory: Path, spec: SandboxSpec) -> None:
    with connect(str(run_directory), idle_s=0.05) as client:
        assert true(client, spec) == 0
        pidfds = [os.pidfd_open(pid) for pid in zygotes(run_directory)]
    wait_for_end(pidfds)
    assert not [name for name in os.listdir(run_directory) if name.startswith("z-")]


def test_leaves_the_socket_of_its_successor(run_directory: Path, spec: SandboxSpec) -> None:
    """The run directory was removed while it lived, and another zygote stands at the same path."""
    with connect(str(run_directory), idle_s=0.05) as client, client.spawn(spec._replace(argv=("/bin/sleep", "1009"))) as running:
        old = server(client)
        pidfds = [os.pidfd_open(pid) for pid in (old, *children(old))]
        moved = run_directory.rename(f"{run_directory}.old")
        run_directory.mkdir(0o700)
        with connect(str(run_directory)) as successor:
            assert true(successor, spec) == 0
            new = server(successor)
            running.close()
            wait_for_end(pidfds)
            assert server(successor) == new != old
            successor.retire()
    assert [path.name for path in moved.iterdir() if path.name.startswith("z-")]


def test_is_started_again_after_it_left_or_was_killed(run_directory: Path, spec: SandboxSpec) -> None:
    with connect(str(run_directory)) as client:
        for _ in range(2):
            assert true(client, spec) == 0
            pid = server(client)
            pidfd = os.pidfd_open(pid)
            os.kill(pid, signal.SIGKILL)
            wait_for_end([pidfd])
        assert true(client, spec) == 0
        client.retire()


def test_kept_connection_of_a_killed_zygote(run_directory: Path, spec: SandboxSpec) -> None:
    with connect(str(run_directory)) as client:          # holds a connection that it has not used yet
        with connect(str(run_directory)) as other:
            pid = server(other)
        pidfd = os.pidfd_open(pid)
        os.kill(pid, signal.SIGKILL)
        wait_for_end([pidfd])
        assert true(client, spec) == 0
        client.retire()


def test_killed_zygote_takes_its_sandboxes_along(run_directory: Path, spec: SandboxSpec) -> None:
    with connect(str(run_directory)) as client, client.spawn(spec._replace(argv=("/bin/sleep", "1005"))) as running:
        pidfd = os.dup(running.pidfd)
        os.kill(server(client), signal.SIGKILL)
        wait_for_end([pidfd])
        with pytest.raises(ZygoteLost, match="fork server"):
            running.wait()
    with connect(str(run_directory)) as client:
        client.retire()


def test_warm_units_die_with_the_zygote(run_directory: Path, spec: SandboxSpec) -> None:
    with connect(str(run_directory)) as client:
        assert true(client, spec) == 0
        pids = zygotes(run_directory)
        pidfds = [os.pidfd_open(pid) for pid in pids]
        os.kill(server(client), signal.SIGKILL)
        wait_for_end(pidfds)


def test_units_are_made_again_while_nothing_or_something_long_runs(run_directory: Path, spec: SandboxSpec) -> None:
    with connect(str(run_directory)) as client:
        assert true(client, spec) == 0
        wait_until(lambda: len(children(server(client))) == WARM)
        with client.spawn(spec._replace(argv=("/bin/sleep", "1007"))):
            wait_until(lambda: len(children(server(client))) == WARM + 1)
        client.retire()


def test_private_server_serves_and_dies_with_its_master(run_directory: Path, spec: SandboxSpec) -> None:
    read, write = os.pipe()
    pid = os.fork()
    if not pid:
        client = connect(str(run_directory), private=True)
        running = client.spawn(spec._replace(argv=("/bin/sleep", "1006")))
        os.write(write, f"{true(client, spec)} {running.pid} {server(client)}".encode())
        signal.pause()
    code, *pids = map(int, os.read(read, 100).split())
    pidfds = [os.pidfd_open(one) for one in pids]
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    wait_for_end(pidfds)
    assert code == 0
    assert not [name for name in os.listdir(run_directory) if name.startswith("z-")]


def test_path_too_long_for_a_socket_gets_a_private_server(tmp_path: Path, spec: SandboxSpec) -> None:
    deep = tmp_path / ("d" * 100)
    deep.mkdir()
    with connect(str(deep)) as client:
        assert true(client, spec) == 0


def test_many_sandboxes_at_once(run_directory: Path, spec: SandboxSpec) -> None:
    with connect(str(run_directory)) as client:
        running = [client.spawn(spec._replace(argv=("/bin/sh", "-c", f"exit {n}"))) for n in range(20)]
        assert [one.wait().code for one in running] == list(range(20))
        for one in running:
            one.close()
        client.retire()


def test_nonsense_is_answered(run_directory: Path) -> None:
    with connect(str(run_directory)) as client:
        socket, message, _ = client._ask(("dance",), [])
        socket.close()
        assert message and message[0] == "failed" and "dance" in message
        client.retire()


def test_other_users_are_turned_away(run_directory: Path, unprivileged: User) -> None:
    with connect(str(run_directory)) as client:
        run_directory.chmod(0o755)
        socket = next(path for path in run_directory.iterdir() if path.name.startswith("z-"))
        socket.chmod(0o777)
        said = unprivileged.call(_dial, str(socket))
        client.retire()
    assert said is None


def _dial(path: str) -> object:
    import _socket
    socket = _socket.socket(_socket.AF_UNIX, _socket.SOCK_SEQPACKET)
    socket.connect(path)
    return wire.receive(socket)[0]


def test_failure_inside_says_step_and_path(run_directory: Path, spec: SandboxSpec) -> None:
    with connect(str(run_directory)) as client:
        with pytest.raises(SandboxError) as caught:
            client.spawn(spec._replace(mounts=(Tmpfs("/etc/passwd/x"),)))
        with pytest.raises(SandboxError) as missing:
            client.spawn(spec._replace(rootfs=Overlay(("/no/such/layer", "/no"), "/no/upper", "/no/work")))
        with pytest.raises(SandboxError) as layer:
            client.spawn(spec._replace(rootfs=Overlay(("/no/such/layer", "/no"))))
        with pytest.raises(SandboxError) as directory:
            client.spawn(spec._replace(rootfs=Directory("/no/such/root")))
        client.retire()
    assert str(caught.value) == "cannot find the mount point `/etc/passwd/x`: not a directory"
    assert str(missing.value) == "cannot mount the root `/no/upper`: no such file or directory"
    assert str(layer.value) == "cannot mount the root `/no/such/layer`: no such file or directory"
    assert str(directory.value) == "cannot mount the root `/no/such/root`: no such file or directory"


HEAVY = "typing re enum json pathlib subprocess threading socket selectors contextlib dataclasses logging msgspec argparse"


def imported(module: str) -> set[str]:
    """Modules that are loaded once a bare interpreter has imported `module`."""
    root = str(Path(__file__).resolve().parents[2])
    program = f"import sys; sys.path.append({root!r}); import {module}; print(*sys.modules)"
    return set(subprocess.run([sys.executable, "-I", "-S", "-c", program], capture_output=True, text=True, check=True).stdout.split())


def test_client_imports_little() -> None:
    """What every command pays at its start."""
    loaded = imported("sandbox.client")
    assert "sandbox.spec" in loaded
    assert not loaded & {*HEAVY.split(), "ctypes", "collections", "functools"}


def test_zygote_imports_little() -> None:
    assert not imported("sandbox.zygote") & set(HEAVY.split())
