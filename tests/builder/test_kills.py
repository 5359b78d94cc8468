"""A build that is killed or interrupted at seeded moments: the store opens, the next build is right, and nothing is left. PYBUILD_LONG=1 for the long run."""

import os
import random
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path

import pytest

from tests.builder.conftest import Builds
from tests.tool import Tool
from tests.users import User

pytestmark = [pytest.mark.userns, pytest.mark.slow]

ROUNDS = 150 if os.environ.get("PYBUILD_LONG") else 5
PATIENCE_S = 60
MARK = "4327"                                            # how long the longest command of a step sleeps: it is found by that
DOCKERFILE = """FROM busybox AS a
COPY many /many
RUN --network=none --mount=type=cache,target=/c echo {0} >> /c/log && echo {0} > /a && sleep 0.05
FROM busybox AS b
RUN --network=none mkdir -p /d/n && chown 5:6 /d/n && for i in 1 2 3 4 5 6; do echo ${{i}}{0} > /d/$i; done; (sleep 4327 &) ; sleep 0.05
RUN --network=none rm /d/3 && mv /d /e && chmod 700 /e/n
FROM busybox
COPY --from=a /many /many
COPY --from=a /a /a
COPY --from=b /e /e
RUN --network=none cat /a /e/[0-9] > /all
"""
EXPECTED = "{0}\n1{0}\n2{0}\n4{0}\n5{0}\n6{0}"


@pytest.fixture
def killed(builds: Builds) -> Builds:
    return with_many(builds)


def with_many(builds: Builds) -> Builds:
    for number in range(300):
        path = builds.context / f"many/{number % 7}/{number}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(bytes([number % 251]) * 3000)
    builds.give(builds.context)
    return builds


def start(builds: Builds, dockerfile: str, *words: str) -> "subprocess.Popen[bytes]":
    (builds.context / "Dockerfile").write_text(dockerfile)
    builds.give(builds.context)
    argv = builds.tool.argv("pybuild", "build", "-t", "it", *words, str(builds.context))
    user = builds.tool.user
    if user is None:
        return subprocess.Popen(argv, env=builds.tool.env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
    return subprocess.Popen(argv, env=user.environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True, user=user.uid,
                            group=user.gid, extra_groups=[], cwd=user.home)


def running(mark: str = MARK) -> list[str]:
    """Processes of steps: nothing of a build outlives it."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if words[:2] == [b"sleep", mark.encode()]:
            found.append(pid)
    return found


def test_build_killed_at_any_moment(killed: Builds) -> None:
    kill_at_moments(killed, 5)


def test_build_killed_at_any_moment_by_chroot(as_root: Builds) -> None:
    kill_at_moments(with_many(as_root), 6, "--isolation=chroot")


def test_nothing_of_a_step_by_chroot_outlives_the_group_that_is_killed(as_root: Builds) -> None:
    mark = str(1_000_000 + os.getpid())
    process = start(as_root, f"FROM busybox\nRUN (sleep {mark} &); sleep {mark}\n", "--isolation=chroot")
    deadline = time.monotonic() + PATIENCE_S
    while len(running(mark)) < 2:
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait(timeout=PATIENCE_S)
    while left := running(mark):
        assert time.monotonic() < deadline, left
        time.sleep(0.01)


def test_build_killed_at_any_moment_with_a_single_id(unprivileged_single: User) -> None:
    place = unprivileged_single.directory(Path(tempfile.mkdtemp(prefix="builds-", dir=unprivileged_single.home)))
    tool = Tool(place / "root", unprivileged_single)
    tool.pybuild("base", "busybox", "-t", "busybox")
    kill_at_moments(with_many(Builds(tool, place)), 7)
    shutil.rmtree(place, ignore_errors=True)


def kill_at_moments(killed: Builds, seed: int, *always: str) -> None:
    dice = random.Random(seed)
    place = Path(killed.tool.root)
    out = killed.context.parent / "out"
    out.mkdir(exist_ok=True)
    killed.give(out)
    mounts = Path("/proc/self/mounts").read_text().count(str(place))
    for number in range(ROUNDS):
        dockerfile = DOCKERFILE.format(number)
        process = start(killed, dockerfile, *always, *dice.choice(((), ("--no-cache",), ("-o", f"type=oci,dest={out}/x.tar"))))
        time.sleep(dice.uniform(0, 0.9))                 # the moment is what is tested; nothing is waited for
        how, what = dice.choice((os.kill, os.killpg)), dice.choice((signal.SIGKILL, signal.SIGKILL, signal.SIGINT))
        how(process.pid, what)
        process.wait(timeout=PATIENCE_S)
        killed.ok(dockerfile, *always)
        assert killed.says("cat /all") == EXPECTED.format(number), number
        assert killed.says("find /many -type f | wc -l; stat -c '%a %u %g' /e/n") == "300\n700 5 6", number
        deadline = time.monotonic() + PATIENCE_S
        while left := running():
            assert time.monotonic() < deadline, left
            time.sleep(0.01)
        while left := os.listdir(place / "tmp"):         # a process may be seen for some moments after its kill, and what it made with it
            assert time.monotonic() < deadline, (number, left)
            killed.ok(dockerfile, *always)
        assert [name for name in os.listdir(out) if name != "x.tar"] == [], number
    assert Path("/proc/self/mounts").read_text().count(str(place)) == mounts
    killed.tool.pybuild("fsck")
