"""`--runtime crun|runc`: containers, stacks and builds whose commands another OCI runtime starts."""

import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.pybuild.faces import Faces, facing

pytestmark = [pytest.mark.userns, pytest.mark.skipif(os.geteuid() != 0, reason="the other runtimes are run as root (tests/sandbox has them as a user)")]


@pytest.fixture
def faces(tmp_path: Path, rootfs: Path) -> Iterator[Faces]:
    yield from facing(tmp_path, rootfs)


@pytest.fixture(params=["crun", "runc"])
def runtime(request: pytest.FixtureRequest) -> str:
    if not shutil.which(request.param):
        pytest.skip(f"{request.param} is not installed (package {request.param})")
    return str(request.param)


LOOP = 'trap "echo bye; exit 5" TERM; echo up $WORD; while :; do sleep 0.05; done'


def test_run(faces: Faces, runtime: str, tmp_path: Path) -> None:
    (tmp_path / "volume").mkdir()
    done = faces.call("pyup", "container", "run", "--rm", "--network=none", "--runtime", runtime, "-u", "app", "-e", "WORD=hello", "-v",
                      f"{tmp_path}/volume:/v:ro", "--tmpfs", "/t", "--hostname", "h", "box", "sh", "-c",
                      "id -u; echo $WORD; hostname; touch /t/x && echo t; touch /v/x || exit 7")
    assert (done.stdout, done.returncode) == ("1000\nhello\nh\nt\n", 7), done.stderr
    assert "Read-only file system" in done.stderr


def test_life_of_a_container(faces: Faces, runtime: str) -> None:
    faces.pyup("container", "run", "-d", "--name", "one", "--network=none", "--runtime", runtime, "-e", "WORD=w", "box", "sh", "-c", LOOP)
    done = faces.call("pyup", "container", "exec", "one", "sh", "-c", "echo in $WORD; cat /proc/1/comm; exit 9")
    assert (done.stdout, done.returncode) == ("in w\nsh\n", 9)
    faces.pyup("container", "pause", "one")
    assert faces.inspect("one")["State"]["Status"] == "paused"
    faces.pyup("container", "unpause", "one")
    assert faces.pyup("container", "stats", "--no-stream", "--format", "{{.PIDs}}", "one").strip() in ("1", "2")
    faces.pyup("container", "stop", "one")
    assert faces.pyup("container", "logs", "one") == "up w\nbye\n"
    assert faces.inspect("one")["State"]["ExitCode"] == 5
    faces.pyup("container", "start", "one")
    faces.pyup("container", "kill", "one")
    assert faces.pyup("container", "wait", "one") == "137\n"
    assert faces.inspect("one")["HostConfig"]["Runtime"] == runtime
    faces.pyup("container", "rm", "one")


def test_death_of_the_shim_takes_the_container_along(faces: Faces, runtime: str) -> None:
    faces.pyup("container", "run", "-d", "--name", "one", "--network=none", "--runtime", runtime, "box", "sleep", "1010")
    pid = int(str(faces.inspect("one")["State"]["Pid"]))
    pidfd = os.pidfd_open(pid)
    os.kill(_parent(_parent(pid)), signal.SIGKILL)
    assert _ended(pidfd)
    assert faces.inspect("one")["State"]["Status"] == "exited"


def _parent(pid: int) -> int:
    return next(int(line.split()[1]) for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("PPid:"))


def _ended(pidfd: int) -> bool:
    import select

    poll = select.poll()
    poll.register(pidfd, select.POLLIN)
    ended = bool(poll.poll(30_000))
    os.close(pidfd)
    return ended


def test_service_of_a_stack(faces: Faces, runtime: str, tmp_path: Path) -> None:
    (tmp_path / "compose.yaml").write_text(
        f"services: {{a: {{image: box, network_mode: none, runtime: {runtime}, container_name: one, command: [sleep, '1010']}}}}\n")
    done = faces.call("pyup", "-f", str(tmp_path / "compose.yaml"), "up", "-d")
    assert not done.returncode and "runtime" not in done.stderr, done.stderr
    assert faces.inspect("one")["HostConfig"]["Runtime"] == runtime
    faces.pyup("-f", str(tmp_path / "compose.yaml"), "down", "-t", "0")


def test_steps_of_a_build_yield_the_same_image(faces: Faces, runtime: str, tmp_path: Path) -> None:
    (tmp_path / "context").mkdir()
    (tmp_path / "context/Dockerfile").write_text(
        "FROM box\nRUN --mount=type=cache,target=/c --mount=type=tmpfs,target=/a/b mkdir /d && echo x > /d/x && touch /c/x /a/b/x\n"
        "USER app\nWORKDIR /w\nRUN id -u > /tmp/id\n")
    images = set()
    for place, words in (("root", ("--runtime", runtime)), ("other", ())):
        other = Faces(tmp_path / place)
        other.call("pybuild", "import", str(tmp_path / "image.tar"), "box", SOURCE_DATE_EPOCH="1000000000")
        done = other.call("pybuild", "-q", "--network=none", *words, str(tmp_path / "context"), SOURCE_DATE_EPOCH="1000000000")
        assert not done.returncode, done.stderr
        tree = other.pyup("container", "run", "--rm", "--network=none", done.stdout.strip(), "sh", "-c",
                          "cat /d/x /tmp/id; ls -ld /d /d/x /tmp/id /w | cut -c1-25; ls -a / /etc")
        images.add(tree)
    assert len(images) == 1, images


def test_failure_of_a_step_is_at_its_line(faces: Faces, runtime: str, tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text("FROM box\nRUN exit 9\n")
    done = faces.call("pybuild", "--network=none", "--runtime", runtime, "-f", str(tmp_path / "Dockerfile"), str(tmp_path / "root"))
    assert done.returncode == 1 and "error: the command exited with status 9\n --> " in done.stderr


@pytest.mark.parametrize("words", [("pyup", "container", "run", "--rm", "--runtime", "nothing", "box", "true"),
                                   ("pyup", "container", "create", "--runtime", "nothing", "box", "true"),
                                   ("pybuild", "--runtime", "nothing", "-f", "-", ".")])
def test_a_runtime_that_is_unknown_is_one_error(faces: Faces, words: "tuple[str, ...]") -> None:
    done = faces.call(*words)
    assert done.returncode and done.stderr.startswith("error: runtime `nothing` is unknown\n  = help: ") and done.stderr.count("error:") == 1


def test_a_runtime_of_a_service_that_is_unknown_is_one_error(faces: Faces, tmp_path: Path) -> None:
    (tmp_path / "compose.yaml").write_text("services: {a: {image: box, network_mode: none, runtime: nothing}}\n")
    done = faces.call("pyup", "-f", str(tmp_path / "compose.yaml"), "up", "-d")
    assert done.returncode and "runtime `nothing` is unknown" in done.stderr and done.stderr.count("error:") == 1


def test_isolation_by_chroot_and_a_runtime_is_misuse(faces: Faces, tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text("FROM box\nRUN true\n")
    done = faces.call("pybuild", "--isolation=chroot", "--runtime", "pybuild", str(tmp_path))
    assert done.returncode == 2 and done.stderr.startswith("error: --runtime makes namespaces")
