"""`pybuild --isolation`: the same image by chroot as with namespaces, and what is said where there are none."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.pybuild.small import build, small_context
from tests.users import ROOT

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="changing the root, and taking capabilities away, needs root")
UNABLE = ("setpriv", "--bounding-set=-sys_admin", "--inh-caps=-sys_admin")
DOCKERFILE = """\
FROM scratch
COPY busybox /bin/sh
COPY busybox /bin/busybox
RUN busybox mkdir -p /tmp /a && echo hello > /a/b && busybox ln -s b /a/c
RUN --mount=type=cache,target=/cache --mount=type=tmpfs,target=/t busybox rm /a/c && echo x > /cache/x && echo y > /t/y
RUN test -e /a/b && test ! -e /a/c && busybox chown 3:4 /a/b
"""


@pytest.fixture
def context(tmp_path: Path) -> Path:
    return small_context(tmp_path / "context", DOCKERFILE)


@pytest.mark.userns
def test_the_image_is_the_same(tmp_path: Path, context: Path) -> None:
    images = {build(tmp_path / kind, context, "-q", "--network=none", "--isolation", kind).stdout for kind in ("chroot", "namespace")}
    assert len(images) == 1 and images.pop().startswith("sha256:")


def test_without_namespaces_it_is_said_once(tmp_path: Path, context: Path) -> None:
    done = build(tmp_path / "root", context, "-t", "x", before=UNABLE)
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("isolated by chroot") == 1 and "pybuild doctor" in done.stderr
    assert [name for name in os.listdir(tmp_path / "root/tmp") if "-" in name] == []


def test_without_a_run_nothing_is_said(tmp_path: Path, context: Path) -> None:
    build(tmp_path / "root", context, before=UNABLE)
    done = build(tmp_path / "root", context, before=UNABLE)
    assert done.returncode == 0 and "chroot" not in done.stderr


def test_namespaces_can_be_insisted_on(tmp_path: Path, context: Path) -> None:
    done = build(tmp_path / "root", context, "--network=none", "--isolation=namespace", before=UNABLE)
    assert done.returncode == 1 and "error: cannot use namespaces: unshare: operation not permitted" in done.stderr


def test_without_capabilities_a_run_is_one_error(tmp_path: Path, context: Path) -> None:
    before = ("setpriv", "--bounding-set=-sys_admin,-sys_chroot", "--inh-caps=-sys_admin,-sys_chroot")
    done = build(tmp_path / "root", context, before=before)
    assert done.returncode == 1 and done.stderr.count("error:") == 1
    assert "CAP_SYS_CHROOT" in done.stderr and "pybuild doctor" in done.stderr


def test_an_isolation_that_is_none_is_misuse(tmp_path: Path, context: Path) -> None:
    assert build(tmp_path / "root", context, "--isolation=jail").returncode == 2


@pytest.mark.parametrize("words", [("container", "run", "--rm", "box", "sh", "-c", "true"), ("container", "run", "--rm", "--network=host", "box", "sh", "-c", "true"),
                                   ("-f", "compose.yaml", "up")])
def test_a_container_that_can_have_no_isolation_is_one_error_with_the_way_out(tmp_path: Path, context: Path, words: tuple[str, ...]) -> None:
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "PYBUILD_ROOT": str(tmp_path / "root")}
    assert build(tmp_path / "root", context, "-q", "-t", "box", "--isolation=chroot").returncode == 0
    (tmp_path / "compose.yaml").write_text("services: {a: {image: box, network_mode: host, command: [sh, -c, 'true']}}\n")
    before = ("setpriv", "--bounding-set=-sys_admin,-sys_chroot", "--inh-caps=-sys_admin,-sys_chroot")
    done = subprocess.run([*before, sys.executable, "-c", "from pybuild.__main__ import pyup; pyup()", *words], env=environment, text=True,
                          capture_output=True, cwd=tmp_path)
    assert done.returncode and "cannot run containers: " in done.stderr and done.stderr.count("error:") == 1, done.stderr
    assert "CAP_SYS_CHROOT" in done.stderr and done.stderr.count("pybuild doctor") == 1 and "Traceback" not in done.stderr
