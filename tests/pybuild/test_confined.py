"""Containers and stacks where no namespace can be made: without SYS_ADMIN, as a CI runner's job is. Whatever is killed, nothing of one is left."""

import io
import json
import os
import random
import signal
import socket
import subprocess
import tarfile
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from sandbox import marks
from tests.pybuild.stacking import Stack, with_busybox
from tests.pybuild.test_isolation import UNABLE
from tests.tool import Tool

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="changing the root, and taking capabilities away, needs root")
PATIENCE_S = 60.0
NOTICE = "containers are isolated by chroot"


class Unable(Tool):
    """Without SYS_ADMIN."""

    def argv(self, program: str, *words: str) -> list[str]:
        return [*UNABLE, *super().argv(program, *words)]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Unable:
    root = tmp_path_factory.mktemp("confined") / "r"
    with_busybox(root)
    return Unable(root)


@pytest.fixture
def tool(whole: Unable) -> Iterator[Unable]:
    """Every container is removed afterwards, and nothing of them is left."""
    yield whole
    ids = whole.pyup("container", "ls", "-aq", "--no-trunc").out.split()
    if ids:
        whole.pyup("container", "rm", "-fv", *ids)
    assert [one for id in ids for one in marks.marked(marks.mark_of(id))] == []
    assert os.listdir(whole.root / "containers") == []
    assert [str(one) for one in whole.root.glob("volumes/*/*.borrowed")] == []


def run(tool: Tool, *words: str) -> str:
    return tool.pyup("container", "run", "--rm", *words).out


def start(tool: Tool, *words: str) -> str:
    """The ID of a container that runs."""
    return tool.pyup("container", "run", "-d", *words).out.strip()


def first_of(tool: Tool, id: str) -> int:
    return int(tool.pyup("container", "inspect", id, "--format", "{{.State.Pid}}").out)


def parent_of(pid: int) -> int:
    """Of a process of ours: never one that was not started for a test."""
    found = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    assert found > 1, "it has been left by its parent"
    return found


def wait_for(done: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not done():
        assert time.monotonic() < deadline, "it does not come"
        time.sleep(0.02)


def logs_of(tool: Tool, id: str) -> str:
    return tool.pyup("container", "logs", id).out


# ---------------------------------------------------------------- one container
def test_a_command_runs_and_its_status_is_kept(tool: Unable) -> None:
    done = tool.run("pyup", "container", "run", "--rm", "busybox", "sh", "-c", "echo out; echo err >&2; exit 7")
    assert (done.status, done.out) == (7, "out\n") and "err\n" in done.err
    assert done.err.count(NOTICE) == 1 and "pybuild doctor" in done.err


def test_a_missing_command_is_127(tool: Unable) -> None:
    done = tool.run("pyup", "container", "run", "--rm", "busybox", "nothing")
    assert done.status == 127 and "command `nothing` is not in the PATH of the image" in done.err


def test_standard_input_reaches_it(tool: Unable) -> None:
    done = tool.run("pyup", "container", "run", "--rm", "-i", "busybox", "cat", stdin=b"hello\n")
    assert done.out == "hello\n"


def test_what_it_writes_stays_its_own_and_is_there_again(tool: Unable) -> None:
    id = tool.pyup("container", "create", "busybox", "sh", "-c", "cat /mine; echo more >> /mine").out.strip()
    tool.pyup("container", "start", "-a", id)
    assert tool.pyup("container", "start", "-a", id).out == "more\n"
    assert run(tool, "busybox", "sh", "-c", "test -e /mine || echo none") == "none\n"


def test_what_is_executed_in_it_belongs_to_it(tool: Unable) -> None:
    id = start(tool, "-e", "A=1", "busybox", "sleep", "1000")
    assert tool.pyup("container", "exec", id, "sh", "-c", "echo $A; sleep 999 >/dev/null 2>&1 &").out == "1\n"
    assert tool.run("pyup", "container", "exec", id, "sh", "-c", "exit 5").status == 5
    assert tool.run("pyup", "container", "exec", id, "nothing").status == 127
    assert len(marks.marked(marks.mark_of(id))) == 2
    tool.run("pyup", "container", "exec", id, "sh", "-c", f"kill {first_of(tool, id)}")      # all are in one domain
    wait_for(lambda: not marks.marked(marks.mark_of(id)))


def test_nobody_in_it_stops_its_warden(tool: Unable) -> None:
    script = "kill -STOP $PPID || echo held; kill -9 $PPID || echo held; kill -STOP -1 || echo held; exec sleep 1000"
    id = start(tool, "busybox", "sh", "-c", script)
    wait_for(lambda: logs_of(tool, id).count("held") == 3)
    assert tool.run("pyup", "container", "exec", id, "sh", "-c", "kill -9 $PPID || echo held").out == "held\n"


def test_one_whose_warden_is_stopped_all_the_same_can_be_removed(tool: Unable) -> None:
    id = start(tool, "busybox", "sleep", "1000")
    os.kill(parent_of(first_of(tool, id)), signal.SIGSTOP)
    tool.pyup("container", "rm", "-f", id)


def test_what_floods_a_stream_by_its_name_holds_up_nobody(tool: Unable) -> None:
    id = start(tool, "--log-opt", "max-size=100k", "busybox", "sh", "-c", "yes > /dev/stdout")
    for _ in range(5):
        assert tool.run("pyup", "container", "exec", id, "sh", "-c", "exit 3").status == 3


def test_signals_end_at_the_container_where_landlock_knows_nothing_of_them(tool: Unable) -> None:
    before = {"PYBUILD_KERNEL": "6.1"}
    id = tool.pyup("container", "run", "-d", "busybox", "sleep", "1000", env=before).out.strip()
    attack = f"kill -0 {os.getpid()} || echo held; sleep 100 & kill $! && echo own; wait; kill -0 {first_of(tool, id)} && echo first"
    done = tool.run("pyup", "container", "exec", id, "sh", "-c", attack, env=before)
    assert done.out == "held\nown\nfirst\n", done


def test_nobody_in_it_gets_rid_of_its_mark(tool: Unable) -> None:
    id = start(tool, "busybox", "sh", "-c", "setsid sh -c 'ulimit -a >/dev/null; (sleep 1000 &)' & sleep 1000")
    wait_for(lambda: len(marks.marked(marks.mark_of(id))) >= 2)
    tool.pyup("container", "kill", id)
    wait_for(lambda: not marks.marked(marks.mark_of(id)))


def test_a_pause_holds_its_own_processes_only(tool: Unable) -> None:
    id, other = start(tool, "busybox", "sleep", "1000"), start(tool, "busybox", "sleep", "1000")
    tool.pyup("container", "pause", id)
    states = [Path(f"/proc/{first_of(tool, one)}/stat").read_text().rpartition(")")[2].split()[0] for one in (id, other)]
    assert states == ["T", "S"]
    tool.pyup("container", "unpause", id)


def test_a_file_of_the_stream_s_name_is_the_stream(tool: Unable) -> None:
    id = start(tool, "busybox", "sh", "-c", "echo one > /dev/stdout; sleep 1000")
    wait_for(lambda: logs_of(tool, id) == "one\n")


def test_all_that_was_written_to_such_a_file_is_kept(tool: Unable) -> None:
    assert len(run(tool, "busybox", "sh", "-c", "yes | head -n 300000 > /dev/stdout").split()) == 300000


def test_a_restart_policy_starts_it_again_in_its_own_files(tool: Unable) -> None:
    id = start(tool, "--restart=always", "busybox", "sh", "-c", "echo x >> /n; test $(wc -l < /n) -lt 3 || exec sleep 1000")
    wait_for(lambda: tool.run("pyup", "container", "exec", id, "wc", "-l", "/n").out.startswith("3"))


def test_files_are_copied_in_and_out(tool: Unable, tmp_path: Path) -> None:
    id = start(tool, "--user", "1234", "busybox", "sleep", "1000")
    (tmp_path / "f").write_text("text")
    tool.pyup("container", "cp", str(tmp_path / "f"), f"{id}:/etc/f")
    tool.pyup("container", "cp", f"{id}:/etc/f", str(tmp_path / "g"))
    tool.pyup("container", "stop", "-t", "0", id)
    tool.pyup("container", "cp", f"{id}:/etc/f", str(tmp_path / "h"))
    assert (tmp_path / "g").read_text() == (tmp_path / "h").read_text() == "text"


def test_no_device_is_copied_in(tool: Unable) -> None:
    """Nothing like `nodev` is there."""
    id, data = start(tool, "busybox", "sleep", "1000"), io.BytesIO()
    with tarfile.open(fileobj=data, mode="w") as archive:
        for name, kind in (("zero", tarfile.CHRTYPE), ("file", tarfile.REGTYPE)):
            member = tarfile.TarInfo(name)
            member.type, member.devmajor, member.devminor = kind, 1, 5
            archive.addfile(member)
    subprocess.run([*tool.argv("pyup", "container", "cp", "-", f"{id}:/tmp")], input=data.getvalue(), env=tool.env, check=True)
    assert tool.pyup("container", "exec", id, "ls", "/tmp").out == "file\n"


@pytest.mark.parametrize("words", [("container", "diff"), ("container", "commit")])
def test_what_it_has_changed_is_not_known_and_that_is_said(tool: Unable, words: tuple[str, ...]) -> None:
    id = start(tool, "busybox", "sleep", "1000")
    done = tool.run("pyup", *words, id)
    assert done.status and "has run without namespaces" in done.err and done.err.count("error:") == 1


def test_its_size_is_that_of_its_copy(tool: Unable) -> None:
    id = start(tool, "busybox", "sleep", "1000")
    row = tool.pyup("container", "ls", "-s", "--filter", f"id={id}", "--format", "{{.Size}}").out
    assert row.split()[0] == row.split()[-1].rstrip(")") and not row.startswith("0B")


def test_its_files_are_exported_when_it_has_ended(tool: Unable, tmp_path: Path) -> None:
    id = tool.pyup("container", "create", "-v", "exported:/v", "busybox", "sh", "-c", "echo x > /new; echo x > /v/x").out.strip()
    tool.pyup("container", "start", "-a", id)
    tool.pyup("container", "export", "-o", str(tmp_path / "tar"), id)
    with tarfile.open(tmp_path / "tar") as archive:
        names = set(archive.getnames())
    assert "./new" in names and not {"./v/x", "./proc/meminfo"} & names


# ---------------------------------------------------------------- what it cannot have
@pytest.mark.parametrize("words", [
    ("--privileged",), ("--network=none",), ("--cap-add=NET_ADMIN",), ("--device=/dev/null",), ("--security-opt=seccomp=unconfined",),
    ("--sysctl=net.ipv4.ip_forward=1",), ("-v", "/tmp:/x"), ("-v", "/proc:/x:ro"), ("-v", "/:/x:ro")])
def test_what_cannot_be_had_is_one_error(tool: Unable, words: tuple[str, ...]) -> None:
    done = tool.run("pyup", "container", "run", "--rm", *words, "busybox", "true")
    assert done.status and done.err.count("error:") == 1 and "Traceback" not in done.err, done


def test_what_is_executed_in_it_cannot_have_more_privileges(tool: Unable) -> None:
    id = start(tool, "busybox", "sleep", "1000")
    done = tool.run("pyup", "container", "exec", "--privileged", id, "true")
    assert done.status and done.err.count("error:") == 1 and "cannot have any" in done.err


def test_the_machine_s_files_are_out_of_reach(tool: Unable, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("s")
    attack = f"cat {tmp_path}/secret /../../..{tmp_path}/secret; kill -0 {os.getpid()} && echo reached; mknod /d b 8 0 && echo made; chroot / true && echo in"
    done = tool.run("pyup", "container", "run", "--rm", "busybox", "sh", "-c", attack)
    assert done.status and done.out == ""


# ---------------------------------------------------------------- mounts
def test_a_volume_outlives_its_container_and_gets_the_image_s_files(tool: Unable) -> None:
    run(tool, "-v", "data:/etc", "busybox", "sh", "-c", "echo x > /etc/new")
    assert run(tool, "-v", "data:/v", "busybox", "sh", "-c", "cat /v/new; test -e /v/passwd && echo copied") == "x\ncopied\n"


def test_a_volume_is_one_container_s_at_a_time(tool: Unable) -> None:
    id = start(tool, "--name", "holder", "-v", "lent:/v", "busybox", "sleep", "1000")
    done = tool.run("pyup", "container", "run", "--rm", "-v", "lent:/v", "busybox", "true")
    assert done.status == 125 and "volume `lent` is in container `holder`" in done.err
    tool.pyup("container", "kill", id)
    wait_for(lambda: tool.run("pyup", "container", "run", "--rm", "-v", "lent:/v", "busybox", "true").status == 0)


def test_a_volume_that_was_moved_inside_comes_home(tool: Unable) -> None:
    run(tool, "-v", "moved:/v", "busybox", "sh", "-c", "echo x > /v/f; mkdir /deep; mv /v /deep/w; ln -s /etc /v")
    assert run(tool, "-v", "moved:/v", "busybox", "cat", "/v/f") == "x\n"


def test_a_bind_that_is_read_only_is_a_copy(tool: Unable, tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    (tmp_path / "d/f").write_text("text")
    assert run(tool, "-v", f"{tmp_path}/d:/d:ro", "-v", f"{tmp_path}/d/f:/etc/f:ro", "busybox", "sh", "-c", "cat /d/f /etc/f; echo y > /d/f") == "texttext"
    assert (tmp_path / "d/f").read_text() == "text"


def test_a_tmpfs_is_empty_at_each_start(tool: Unable) -> None:
    id = tool.pyup("container", "create", "--tmpfs", "/t", "busybox", "sh", "-c", "ls /t; echo x > /t/f").out.strip()
    assert [tool.pyup("container", "start", "-a", id).out for _ in range(2)] == ["", ""]


# ---------------------------------------------------------------- kills
def family(tool: Tool, id: str) -> dict[str, int]:
    """The processes that keep a container, by what they are."""
    found = {"command": first_of(tool, id)}
    for child, name in (("command", "warden"), ("warden", "keeper"), ("keeper", "mind"), ("mind", "guardian")):
        found[name] = parent_of(found[child])
    assert Path(f"/proc/{found['guardian']}/comm").read_text().startswith("shim-")
    return found


@pytest.mark.parametrize("names", ["command", "warden", "keeper", "mind", "guardian", "warden keeper", "mind guardian", "keeper mind guardian warden command"])
def test_whoever_is_killed_nothing_is_left_after_the_next_command(tool: Unable, names: str) -> None:
    script = "echo x > /v/x; (setsid su -s /bin/sh nobody -c 'sleep 1000' &) ; sleep 1000"
    id = start(tool, "-v", "kept:/v", "busybox", "sh", "-c", script)
    mark, pids = marks.mark_of(id), family(tool, id)
    wait_for(lambda: len(marks.marked(mark)) >= 2)
    pidfds = [os.pidfd_open(pids[name]) for name in names.split()]
    for pidfd in pidfds:
        with suppress(ProcessLookupError):                # the one before has taken it along
            signal.pidfd_send_signal(pidfd, signal.SIGKILL)
        os.close(pidfd)
    wait_for(lambda: first_of(tool, id) == 0)
    assert marks.marked(mark) == []
    assert (tool.root / "volumes/kept/_data/x").read_text() == "x\n"
    assert run(tool, "-v", "kept:/v", "busybox", "cat", "/v/x") == "x\n"
    tool.pyup("container", "rm", id)


# ---------------------------------------------------------------- stacks
def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def test_a_stack_comes_up_talks_and_goes_away(tool: Unable, tmp_path: Path) -> None:
    db, web, outside = free_port(), free_port(), free_port()
    stack = Stack(tool, tmp_path / "s", f"""\
services:
  db:
    image: busybox
    command: sh -c 'echo from-db > /data/x && exec httpd -f -p {db} -h /data'
    volumes: ["data:/data"]
    healthcheck: {{test: "wget -qO- http://127.0.0.1:{db}/x", interval: 1s, retries: 60}}
  web:
    image: busybox
    depends_on: {{db: {{condition: service_healthy}}}}
    command: sh -c 'mkdir -p /w && wget -qO /w/index.html http://db:{db}/x && cat /run/secrets/s >> /w/index.html && exec httpd -f -p {web} -h /w'
    ports: ["{outside}:{web}"]
    secrets: [s]
volumes: {{data: {{}}}}
secrets: {{s: {{environment: SECRET}}}}
""", env={"SECRET": "hidden"})
    done = stack.run("up", "-d", "--wait")
    assert done.status == 0 and done.err.count(NOTICE) == 1, done
    assert stack.run("up", "-d").err.count(NOTICE) == 0
    page = tool.run("pyup", "container", "run", "--rm", "busybox", "sh", "-c",
                    f"for i in 1 2 3 4 5 6 7 8 9; do wget -qO- http://127.0.0.1:{outside}/ && exit; sleep 1; done")
    assert page.out == "from-db\nhidden"
    assert stack.run("exec", "-T", "db", "cat", "/data/x").out == "from-db\n"
    rows = [json.loads(line) for line in stack.run("ps", "--format", "json").out.splitlines()]
    assert {row["Service"]: row["State"] for row in rows} == {"db": "running", "web": "running"}
    assert stack.run("down", "-v", "-t", "0").status == 0
    left = stack.run("ps", "-aq")
    assert left.out == "" and list(tool.root.glob("volumes/*_data")) == []


def holders_of(path: Path) -> list[int]:
    """Who has the file open: of a container's lock, those who keep it."""
    found = []
    for fd in Path("/proc").glob("[0-9]*/fd/*"):
        with suppress(OSError):
            if os.readlink(fd) == str(path):
                found.append(int(fd.parts[2]))
    return sorted({pid for pid in found if pid != os.getpid()})


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(8))
def test_all_that_keep_it_are_killed_at_some_moment_of_its_start(tool: Unable, seed: int) -> None:
    id = tool.pyup("container", "create", "-v", "kept:/v", "busybox", "sh", "-c", "echo x > /v/x; (setsid sleep 1000 &) ; sleep 1000").out.strip()
    with subprocess.Popen([*tool.argv("pyup", "container", "start", id)], env=tool.env, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL) as process:
        time.sleep(random.Random(seed).uniform(0.1, 0.6))     # the moment is what is tested; nothing is waited for
        process.kill()
        for pid in holders_of(tool.root / "containers" / id / "lock"):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
    wait_for(lambda: first_of(tool, id) == 0)
    tool.pyup("container", "start", id)
    wait_for(lambda: len(marks.marked(marks.mark_of(id))) >= 2)
    tool.pyup("container", "kill", id)
    wait_for(lambda: first_of(tool, id) == 0)
    assert marks.marked(marks.mark_of(id)) == []
    assert (tool.root / "volumes/kept/_data/x").read_text() == "x\n"
