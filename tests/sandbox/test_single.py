"""Sandboxes of an ordinary user without subordinate ids: every process and file is one user's, and programs see many."""

import os
import shutil
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from kernel.release import RELEASE, parse
from sandbox import userns
from sandbox.client import connect
from sandbox.owners import MARK
from sandbox.spec import Overlay, SandboxSpec, Tmpfs, WriteFile
from tests.sandbox.conftest import USERS_OVERLAY
from tests.sandbox.harness import IDLE_S, PATH, Box, Outcome
from tests.users import User

pytestmark = pytest.mark.userns


# busybox gives up what set-ID bits gave it, but for programs like su
_SU_FOR_ALL = "chmod 4755 /bin/busybox; sed -i s/^root:x/root:/ /etc/passwd"


@pytest.fixture
def box(rootfs: Path, unprivileged_single: User) -> Iterator[Box]:
    if parse(os.uname().release) < USERS_OVERLAY:
        pytest.skip("overlays of ordinary users are of Linux 5.11")
    user = unprivileged_single
    scratch = user.directory(Path(tempfile.mkdtemp(prefix="scratch-", dir=user.home)))
    own = scratch / "rootfs"
    shutil.copytree(rootfs, own, symlinks=True)
    for path in (own, *own.rglob("*")):
        os.lchown(path, user.uid, user.gid)
    yield Box(own, user.directory(user.runtime / "tests"), scratch, user)
    shutil.rmtree(scratch)


def lines(outcome: Outcome) -> list[str]:
    assert outcome.exit and outcome.exit.code == 0, outcome
    return outcome.out.splitlines()


def test_chown_is_seen_by_whoever_looks_and_survives_rename_and_link(box: Box) -> None:
    assert lines(box.shell("cd /tmp; touch a; chown 5:6 a; stat -c %u:%g a; mv a b; ln b c; stat -c %u:%g b; stat -c %u:%g c; chown :7 b; stat -c %u:%g c")) == [
        "5:6", "5:6", "5:6", "5:7"]


def test_chown_of_a_lower_file_leaves_the_lower_alone(box: Box) -> None:
    outcome = box.shell("chown 5 /bin/busybox && stat -c %u /bin/busybox")
    assert lines(outcome) == ["5"]
    assert "bin/busybox" in outcome.upper
    with pytest.raises(OSError):
        os.getxattr(box.rootfs / "bin/busybox", MARK)


def test_an_inode_that_is_used_again_is_nobody_elses(box: Box) -> None:
    script = "cd /tmp; for i in 1 2 3 4 5 6 7 8 9; do ln -s x l; chown -h 5 l; rm l; ln -s x l; stat -c %u l; rm l; done"
    assert set(lines(box.shell(script))) == {"0"}


def test_links_and_fifos_have_owners_too(box: Box) -> None:
    assert lines(box.shell("cd /tmp; ln -s x l; mkfifo f; chown -h 5:6 l; chown 7:8 f; mv l m; stat -c %u:%g m; stat -c %u:%g f")) == ["5:6", "7:8"]


def test_chown_clears_set_id_bits_as_the_kernel_does(box: Box) -> None:
    assert lines(box.shell("cd /tmp; cp /bin/busybox x; chmod 6755 x; chown 5 x; stat -c %a x")) == ["755"]


def test_devices_look_like_devices_and_are_empty_files(box: Box) -> None:
    outcome = box.shell("mknod /null c 1 3 && mknod /disk b 8 0 && stat -c '%F %t,%T' /null /disk; mknod /gone c 0 0 || echo refused")
    assert lines(outcome) == ["character special file 1,3", "block special file 8,0", "refused"]
    assert outcome.upper["null"].startswith("-")


def test_user_of_the_sandbox_owns_what_it_makes(box: Box) -> None:
    script = "id -u; id -g; id -G; cd /tmp; touch a; mkdir d; ln -s a l; mkfifo f; echo x > e; stat -c %u:%g a d l f e"
    assert lines(box.shell(script, user="app")) == ["1000", "1000", "1000 10 44", *["1000:1000"] * 5]


def test_modes_of_new_files_follow_the_umask(box: Box) -> None:
    assert lines(box.shell("cd /tmp; umask 027; touch a; mkdir d; stat -c %a a d", user="app")) == ["640", "750"]


def test_su_changes_every_id_and_there_is_no_way_back(box: Box) -> None:
    assert lines(box.shell("su app -c 'id -u; id -g; touch /tmp/x; chown 0 /tmp/x 2>/dev/null || echo refused; stat -c %u /tmp/x'; id -u")) == [
        "1000", "1000", "refused", "1000", "0"]


def test_set_user_id_program_makes_its_owner_of_another_user(box: Box) -> None:
    script = f"{_SU_FOR_ALL}; su app -c 'id -u; /bin/su root -c \"id -u\"; id -u'"
    assert lines(box.shell(script)) == ["1000", "0", "1000"]


def test_no_new_privileges_holds_for_set_user_id_programs(box: Box) -> None:
    assert lines(box.shell(f"{_SU_FOR_ALL}; su app -c '/bin/su root -c \"id -u\" || echo refused'", no_new_privileges=True)) == ["refused"]


def test_set_group_id_directory_gives_its_group(box: Box) -> None:
    assert lines(box.shell("cd /tmp; mkdir g; chown :9 g; chmod 2775 g; touch g/a; mkdir g/d; touch g/d/b; touch b; stat -c %g g/a g/d g/d/b b")) == [
        "9", "9", "9", "0"]


def test_paths_of_a_chrooted_process_are_its_own(box: Box) -> None:
    script = ("mkdir -p /c/bin /c/etc; cp /bin/busybox /c/bin; ln -s /etc/real /c/etc/link; touch /c/etc/real /etc/real;"
              "chroot /c /bin/busybox sh -c 'chown 5 /etc/link; cd etc; chown :6 real; mkdir /n; chown 8 /n'; stat -c %u:%g /c/etc/real /etc/real /c/n")
    assert lines(box.shell(script)) == ["5:6", "0:0", "8:0"]


def test_magic_of_proc_leads_to_the_callers_own(box: Box) -> None:
    script = ("cd /proc; cat self/status | grep -c Uid; stat -c %F /proc/self/exe | cut -c1-7; chown 5 /dev/stdout && echo chowned;"
              "ln -s /dev/stderr /tmp/log; chown 5 /tmp/log && echo followed; stat -L -c %F /dev/fd/0")
    assert lines(box.shell(script)) == ["1", "symboli", "chowned", "followed", "regular empty file"]


def test_no_way_through_the_proc_of_outside(box: Box) -> None:
    script = f"for p in /proc/self/../{os.getpid()}/root/etc/passwd /proc/self/../../etc/passwd2; do chown 5 $p 2>/dev/null && echo reached $p; done; id -u"
    assert lines(box.shell(script)) == ["0"]


def test_files_of_mounts_keep_their_owners(box: Box) -> None:
    mounts = (WriteFile("/secret", b"x", 0o440, 5, 6), Tmpfs("/fresh", uid=7, gid=8))
    kept = ["5:6:440", "7:8"] if RELEASE >= (6, 6) else ["0:0:440", "0:0"]           # tmpfs has attributes since then
    assert lines(box.shell("stat -c %u:%g:%a /secret; stat -c %u:%g /fresh", mounts=mounts)) == kept


def test_chown_holds_where_files_have_no_attributes(box: Box) -> None:
    """ramfs, which is what tmpfs was before Linux 6.6."""
    script = """
        mkdir /mnt && mount -t ramfs none /mnt && touch /mnt/file /mnt/roots && mkdir /mnt/dir && ln -s x /mnt/link
        chown 5:6 /mnt/file; chown 7 /mnt/dir; chown -h 8 /mnt/link; mv /mnt/file /mnt/moved
        stat -c %u:%g /mnt/moved /mnt/dir /mnt/link /mnt/roots; chown 0:0 /mnt/moved; stat -c %u:%g /mnt/moved
    """
    assert lines(box.shell(script, privileged=True)) == ["5:6", "7:0", "8:0", "0:0", "0:0"]


def test_a_sandbox_of_no_privileges_does_not_escape_its_filter(box: Box) -> None:
    assert lines(box.shell("chown 5 /tmp && stat -c %u /tmp; unshare -r true 2>/dev/null || echo refused", capabilities=0)) == ["5", "refused"]


def _table(run_directory: str, scratch: str, rootfs: str) -> dict[str, tuple[int, int]]:
    from sandbox.owners import read_table, write_table

    with connect(run_directory, idle_s=IDLE_S) as client:
        userns.enter(run_directory, client)
        base = Path(tempfile.mkdtemp(dir=scratch))
        for name in ("lower", "upper", "work"):
            (base / name).mkdir()
        (base / "lower/old").symlink_to("x")
        (base / "lower/kept").symlink_to("x")
        table = os.memfd_create("owners")
        write_table(table, {"old": (5, 6), "kept": (7, 8)})
        script = "ln -s x /new; chown -h 9 /new; mv /old /renamed; ln -s x /roots; stat -c %u /kept /renamed > /told"
        spec = SandboxSpec(Overlay((f"{base}/lower", rootfs), f"{base}/upper", f"{base}/work"), ("/bin/sh", "-c", script), env=(PATH,), owners=table)
        with client.spawn(spec) as running:
            assert running.wait().code == 0
        assert (base / "upper/told").read_text() == "7\n5\n"
        shutil.rmtree(base)
        return read_table(table)


def test_owners_of_links_are_handed_in_and_out(box: Box, unprivileged_single: User) -> None:
    found = unprivileged_single.call(_table, str(box.run_directory), str(box.scratch), str(box.rootfs))
    assert found == {"new": (9, 0), "renamed": (5, 6)}


def _killed(run_directory: str, scratch: str, rootfs: str) -> int:
    with connect(run_directory, idle_s=IDLE_S) as client:
        userns.enter(run_directory, client)
        base = Path(tempfile.mkdtemp(dir=scratch))
        for name in ("upper", "work"):
            (base / name).mkdir()
        spec = SandboxSpec(Overlay((rootfs,), f"{base}/upper", f"{base}/work"), ("/bin/sleep", "100"), env=(PATH,))
        with client.spawn(spec) as running:
            parent = next(line.split()[1] for line in Path(f"/proc/{running.pid}/status").read_text().splitlines() if line.startswith("PPid:"))
            siblings = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
            # of the zygote's children the one with the sandbox's root and another pid namespace
            own = os.stat(f"/proc/{running.pid}/ns/pid").st_ino
            for pid in siblings:
                if os.stat(f"/proc/{pid}/root").st_ino == os.stat(f"/proc/{running.pid}/root").st_ino and os.stat(f"/proc/{pid}/ns/pid").st_ino != own:
                    os.kill(int(pid), signal.SIGKILL)
            code = running.wait().code
        shutil.rmtree(base)
        return code


def test_a_killed_supervisor_takes_its_sandbox_along(box: Box, unprivileged_single: User) -> None:
    assert unprivileged_single.call(_killed, str(box.run_directory), str(box.scratch), str(box.rootfs)) == 128 + signal.SIGKILL
