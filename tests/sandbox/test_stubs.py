"""What mounts needed and nobody asked for is gone afterwards, and only that."""

import os
import time
from pathlib import Path

import pytest

from sandbox.spec import Directory, Tmpfs, WriteFile
from sandbox.stubs import Stubs, entry, remove_stubs
from tests.sandbox.harness import Box, listing

pytestmark = pytest.mark.userns
RESOLV = WriteFile("/etc/resolv.conf", b"nameserver 127.0.0.11\n")


def test_file_and_its_copied_up_parent_go(box: Box) -> None:
    outcome = box.shell("cat /etc/resolv.conf", mounts=(RESOLV, Tmpfs("/srv/a/b"), WriteFile("/home/x/y", b"")))
    assert (outcome.out, outcome.upper) == ("nameserver 127.0.0.11\n", {})


def test_parent_that_the_process_wrote_to_stays(box: Box) -> None:
    assert box.shell("echo x >/etc/mine", mounts=(RESOLV,)).upper == {"etc": "drwxr-xr-x 0:0", "etc/mine": "-rw-r--r-- 0:0 2"}


def test_parent_whose_mode_or_file_was_changed_stays(box: Box) -> None:
    assert box.shell("chmod 700 /etc", mounts=(RESOLV,)).upper == {"etc": "drwx------ 0:0"}
    assert set(box.shell("echo x >>/etc/group", mounts=(RESOLV,)).upper) == {"etc", "etc/group"}


def test_only_the_parents_that_were_changed_stay(box: Box) -> None:
    outcome = box.shell("touch /srv/a/file", mounts=(Tmpfs("/srv/a/b/c"), RESOLV))
    assert outcome.upper == {"srv": "drwxr-xr-x 0:0", "srv/a": "drwxr-xr-x 0:0", "srv/a/file": "-rw-r--r-- 0:0 0"}


def test_times_of_the_parents_are_as_before(box: Box) -> None:
    old = (1_000_000_000 * 10**9,) * 2
    if box.user:
        box.user.call(_set_times, str(box.rootfs / "etc"), old)
    else:
        _set_times(str(box.rootfs / "etc"), old)
    outcome = box.shell("stat -c %Y /etc; echo x > /etc/group; chmod 750 /home", mounts=(RESOLV, WriteFile("/home/f", b"")))
    assert outcome.out == "1000000000\n"


def _set_times(path: str, times: tuple[int, int]) -> None:
    os.utime(path, ns=times)


def test_mount_on_what_the_image_has_leaves_nothing(box: Box) -> None:
    assert box.shell("cat /etc/group", mounts=(WriteFile("/etc/group", b"mine"), Tmpfs("/tmp"))).upper == {}


def test_writing_to_a_mounted_file_stays_out(box: Box) -> None:
    assert box.shell("echo more >>/etc/resolv.conf; cat /etc/resolv.conf", mounts=(RESOLV,)).upper == {}


def test_dangling_symlink_of_the_image_is_followed_inside(box: Box) -> None:
    lower = box.scratch / "lower"
    make = f"mkdir -p {lower}/etc && ln -s ../run/resolve/stub.conf {lower}/etc/resolv.conf"
    assert (box.user.run(["sh", "-c", make]).returncode if box.user else os.system(make)) == 0
    outcome = box.shell("cat /etc/resolv.conf; cat /run/resolve/stub.conf", lower=(str(lower), str(box.rootfs)), mounts=(RESOLV,))
    assert (outcome.out, outcome.upper) == ("nameserver 127.0.0.11\n" * 2, {})


def test_failed_start_leaves_nothing(box: Box) -> None:
    assert box.run("nope", mounts=(RESOLV, Tmpfs("/srv/x"))).upper == {}
    assert box.run("/bin/true", user="bob", mounts=(RESOLV,)).upper == {}


def test_process_moves_the_stub_and_points_to_the_host(root_box: Box, tmp_path: Path) -> None:
    """CVE-2024-23652: a cleaner that follows paths removes what is elsewhere."""
    victim = tmp_path / "victim"
    victim.mkdir()
    (victim / "key").write_bytes(b"")
    outcome = root_box.shell(f"mv /run/d /run/e; ln -s {victim} /run/d", mounts=(WriteFile("/run/d/key", b"x"),))
    assert listing(victim) == {"key": "-rw-r--r-- 0:0 0"}
    assert outcome.upper["run/d"].endswith(f" {victim}")


def test_directory_root_is_left_as_it_was(root_box: Box, tmp_path: Path) -> None:
    root = tmp_path / "plain"
    os.system(f"cp -a {root_box.rootfs} {root}")
    before = listing(root)
    outcome = root_box.shell("echo x >/new", rootfs=Directory(str(root)), mounts=(RESOLV,))
    assert outcome.exit and outcome.exit.code == 0
    assert listing(root) == {**before, "new": "-rw-r--r-- 0:0 2"}


def test_remove_only_what_is_the_same(tmp_path: Path) -> None:
    """Another inode, content, or another kind: not ours any more."""
    fd = os.open(tmp_path, os.O_RDONLY)
    for name in ("same", "grown", "replaced"):
        (tmp_path / name).touch()
    (tmp_path / "filled").mkdir()
    made = tuple(one for name in ("same", "grown", "replaced", "filled") if (one := entry(fd, name)))
    (tmp_path / "other").touch()
    (tmp_path / "other").rename(tmp_path / "replaced")
    (tmp_path / "grown").write_text("x")
    (tmp_path / "filled/file").touch()
    before = time.time_ns()
    os.utime(tmp_path, ns=(before, 5))
    remove_stubs(Stubs(str(tmp_path), made, ()))
    assert sorted(os.listdir(tmp_path)) == ["filled", "grown", "replaced"]
    assert tmp_path.stat().st_mtime_ns == 5
    remove_stubs(Stubs(str(tmp_path), made, ()))


def test_entry_behind_a_symlink_is_none(tmp_path: Path) -> None:
    (tmp_path / "d").symlink_to("/")
    fd = os.open(tmp_path, os.O_RDONLY)
    assert entry(fd, "d/etc") is None
    assert entry(fd, "missing/x") is None
