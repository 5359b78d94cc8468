"""Roots made of many layers, of one, of odd names; and what the kernel says when it refuses."""

import os
from pathlib import Path

import pytest

from sandbox.errors import SandboxError
from sandbox.overlay import LOWER_MAX, open_root, options
from sandbox.spec import Overlay
from tests.sandbox.harness import Box

pytestmark = pytest.mark.userns


def made_by(box: Box, script: str) -> None:
    if box.user:
        assert box.user.run(["sh", "-ec", script]).returncode == 0
    else:
        assert os.system(f"set -e; {script}") == 0


def test_many_layers_topmost_first(box: Box) -> None:
    base = box.scratch / "layers"
    made_by(box, f"mkdir -p {base}; cd {base}; i=0; while [ $i -lt 120 ]; do mkdir $i; echo $i >$i/top; echo $i >$i/f$i; i=$((i+1)); done")
    lower = (*(str(base / str(n)) for n in range(120)), str(box.rootfs))
    outcome = box.shell("cat /top /f0 /f119; ls / | grep -c '^f'", lower=lower)
    assert outcome.out.split() == ["0", "0", "119", "120"]


@pytest.mark.parametrize("name", ["a:b", "a,b", "a\\b", "ü ñ", "-", "lowerdir=x"])
def test_layer_with_an_odd_name(box: Box, name: str) -> None:
    layer = box.scratch / name
    made_by(box, f"mkdir '{layer}'; echo yes >'{layer}/mark'")
    assert box.shell("cat /mark", lower=(str(layer), str(box.rootfs))).out == "yes\n"


def test_read_only_without_an_upper_directory(box: Box) -> None:
    points = box.scratch / "points"
    made_by(box, f"mkdir -p {points}/proc {points}/sys {points}/dev {points}/new")
    outcome = box.shell("touch /x /tmp/x; cat /etc/group | head -1", rootfs=Overlay((str(points), str(box.rootfs))))
    assert outcome.err.count("Read-only file system") == 2
    assert outcome.out == "root:x:0:\n"


def test_files_of_the_layers_never_change(box: Box) -> None:
    before = (box.rootfs / "etc/group").read_bytes(), (box.rootfs / "etc/group").stat().st_mtime_ns
    box.shell("echo x >>/etc/group; rm /etc/passwd; chmod 777 /bin; mv /home /elsewhere")
    assert ((box.rootfs / "etc/group").read_bytes(), (box.rootfs / "etc/group").stat().st_mtime_ns) == before
    assert (box.rootfs / "etc/passwd").exists()


def test_layer_cannot_name_a_directory_of_another_by_redirect(root_box: Box, tmp_path: Path) -> None:
    """A layer that came with overlay's own marks must not make the kernel look elsewhere."""
    hostile, secret = tmp_path / "hostile", tmp_path / "secret"
    (hostile / "shown").mkdir(parents=True)
    (secret / "hidden").mkdir(parents=True)
    (secret / "hidden/key").write_text("secret")
    os.setxattr(hostile / "shown", "trusted.overlay.redirect", b"/hidden")
    outcome = root_box.shell("cat /shown/key", lower=(str(hostile), str(secret), str(root_box.rootfs)))
    assert "secret" not in outcome.out


def test_options_keep_layers_apart() -> None:
    keys = dict(options(Overlay(("/a",), "/u", "/w"), "/u", "/w", user_xattrs=True))
    assert keys.items() >= {"redirect_dir": "nofollow", "metacopy": "off", "index": "off", "volatile": "", "userxattr": ""}.items()
    assert "volatile" not in dict(options(Overlay(("/a",), "/u", "/w", volatile=False), "/u", "/w", user_xattrs=False))


def test_work_directory_elsewhere_is_said_by_the_kernel(root_box: Box, tmp_path: Path) -> None:
    for name in ("upper", "work"):
        (tmp_path / name).mkdir()
    with pytest.raises(SandboxError) as caught:
        open_root(Overlay((str(root_box.rootfs),), str(tmp_path / "upper"), str(tmp_path / "upper/x")), user_xattrs=False)
    assert str(caught.value).startswith(f"cannot mount the root `{tmp_path}/upper")
    with pytest.raises(SandboxError, match="no layers"):
        open_root(Overlay(()), user_xattrs=False)
    with pytest.raises(SandboxError, match="501 layers are more"):
        open_root(Overlay(tuple("/" for _ in range(LOWER_MAX + 1))), user_xattrs=False)
