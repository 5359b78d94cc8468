"""`pybuild --userns`: the same image with steps in a user namespace of their own, and one error for what cannot be had."""

import os
from pathlib import Path

import pytest

from kernel.release import RELEASE
from sandbox import idmap
from tests.pybuild.small import build, small_context
from tests.users import User

pytestmark = [pytest.mark.userns, pytest.mark.skipif(os.geteuid() != 0, reason="the owners of files are mapped by root"),
              pytest.mark.skipif(RELEASE < idmap.NEEDED, reason="overlays on id-mapped layers are of Linux 5.19")]
DOCKERFILE = """\
FROM scratch AS base
COPY busybox /bin/sh
FROM base
COPY --from=base /bin/sh /bin/busybox
RUN busybox mkdir -p /a && echo hello > /a/b && busybox ln -s b /a/c && busybox chown 33:34 /a/b && busybox chown -h 7:8 /a/c
RUN --mount=type=cache,target=/c --mount=type=tmpfs,target=/t --mount=type=bind,from=base,target=/m,rw echo x > /c/x && echo y > /t/y && echo z > /m/z
RUN test "$(busybox stat -c %u:%g /a/b)" = 33:34 && ! (echo x > /proc/sysrq-trigger) 2> /dev/null && busybox rm /a/c
USER 1000
RUN ! busybox touch /a/d && busybox cat /proc/self/uid_map
"""


@pytest.fixture
def context(tmp_path: Path) -> Path:
    return small_context(tmp_path / "context", DOCKERFILE)


def test_the_image_is_the_same(tmp_path: Path, context: Path) -> None:
    images = set()
    for mode in ("host", "auto"):
        done = build(tmp_path / mode, context, "-q", "--network=none", f"--userns={mode}")
        assert done.returncode == 0, done.stderr
        images.add(done.stdout)
    assert len(images) == 1


def test_ids_are_those_of_the_user_that_is_named(tmp_path: Path, context: Path, unprivileged: User) -> None:
    done = build(tmp_path / "root", context, "--progress=plain", "--network=none", f"--userns=remap:{unprivileged.name}")
    assert done.returncode == 0, done.stderr
    row = next(line.split()[-3:] for line in done.stderr.splitlines() if line.split()[-3:-2] == ["0"] and line.split()[-1].isdigit())
    text = Path("/etc/subuid").read_text()
    assert f"{unprivileged.name}:{row[1]}:" in text and int(row[1]) > 0


def test_a_failed_step_is_told_as_any_other(tmp_path: Path, context: Path) -> None:
    (context / "Dockerfile").write_text("FROM scratch\nCOPY busybox /bin/sh\nRUN exit 7\n")
    done = build(tmp_path / "root", context, "--network=none", "--userns=auto")
    assert done.returncode == 1 and "status 7" in done.stderr and done.stderr.count("error:") == 1


@pytest.mark.parametrize(("words", "said"), [
    (("--userns=jail",), "`jail`: is unknown"), (("--userns=auto:size=70000",), "has options, and there are none"),
    (("--userns=remap:nobody-there",), "has no ids in /etc/subuid"), (("--userns=auto", "--runtime=crun"), "is not there with the runtime `crun`"),
    (("--userns=auto", "--isolation=chroot"), "--isolation=chroot is for where there are none")])
def test_what_cannot_be_had_is_one_error(tmp_path: Path, context: Path, words: tuple[str, ...], said: str) -> None:
    done = build(tmp_path / "root", context, "--network=none", *words)
    assert done.returncode in (1, 2) and said in done.stderr and done.stderr.count("error:") == 1
    assert "Traceback" not in done.stderr
