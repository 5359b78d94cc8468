"""Attacks by what an image holds: links where the runtime mounts, writes or reads. The host's side of each must stay as it was."""

import os
import threading
from pathlib import Path
from typing import Any

import pytest

from sandbox.spec import Bind, Symlink, Tmpfs, WriteFile
from tests.sandbox.conftest import root_box, root_run_directory, user_box  # noqa: F401  # the boxes with busybox
from tests.sandbox.harness import Box, Outcome

pytestmark = pytest.mark.userns


@pytest.fixture(params=["root", "user"])
def box(request: pytest.FixtureRequest) -> Box:
    return request.getfixturevalue(f"{request.param}_box")  # type: ignore[no-any-return]


@pytest.fixture
def outside(box: Box) -> Path:
    """A directory of the host that a hostile image points to; nothing may appear in it."""
    directory = box.scratch / "outside"
    directory.mkdir()
    (directory / "file").write_text("the host's")
    if box.user:
        box.user.directory(directory)
        os.chown(directory / "file", box.user.uid, box.user.gid)
    return directory


def untouched(outside: Path) -> bool:
    return [path.name for path in outside.iterdir()] == ["file"] and (outside / "file").read_text() == "the host's"


def hostile(box: Box, links: dict[str, str]) -> str:
    """A layer with these symlinks, to be put above the usual root."""
    layer = box.scratch / "hostile"
    for name, target in links.items():
        path = layer / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.symlink_to(target)
    if box.user:
        for where, directories, files in os.walk(layer):  # rglob fails at a link to a name that is too long
            for name in (".", *directories, *files):
                os.lchown(f"{where}/{name}", box.user.uid, box.user.gid)
    return str(layer)


def run(box: Box, links: dict[str, str], *argv: str, **fields: Any) -> Outcome:
    return box.run(*(argv or ("/bin/true",)), lower=(hostile(box, links), str(box.rootfs)), **fields)


@pytest.mark.parametrize("name", ["dev", "proc", "sys"])
def test_cve_2026_41579_system_directory_is_a_link(box: Box, outside: Path, name: str) -> None:
    """Also CVE-2026-47766, CVE-2019-19921: nodes and mounts would be made at its end."""
    for target in (str(outside), "/tmp", "../../../../tmp"):
        outcome = run(box, {name: target})
        assert outcome.error and "\n" not in outcome.message and f"/{name}" in outcome.message
        assert untouched(outside)
        (box.scratch / "hostile" / name).unlink()


@pytest.mark.parametrize("name", ["dev/null", "dev/pts", "dev/pts/0", "dev/console", "dev/ptmx", "dev/shm", "dev/mqueue"])
def test_cve_2025_31133_links_below_dev_count_for_nothing(box: Box, outside: Path, name: str) -> None:
    """Also CVE-2025-52565: the image's /dev is covered before anything is made or opened in ours."""
    for target in ("/proc/sys/kernel/core_pattern", str(outside / "file")):
        outcome = run(box, {name: target}, "/bin/sh", "-c", "readlink /dev/null /dev/pts /dev/shm; stat -c %t:%T /dev/null; echo x >/dev/null")
        assert (outcome.exit and outcome.exit.code, outcome.out) == (0, "1:3\n"), outcome
        assert untouched(outside)
        (box.scratch / "hostile" / name).unlink()


@pytest.mark.parametrize("value", ["/", "../../../..", "sub/.."])
def test_mount_target_is_a_link_to_the_root(box: Box, value: str) -> None:
    """What is mounted on the root would be below what the process sees, and where `/..` leads."""
    outcome = run(box, {"data": value, "sub": "etc"}, mounts=(Tmpfs("/data"),))
    assert outcome.message == "cannot mount on `/data`: it is the root"


def test_cve_2021_25741_part_of_a_volume_became_a_link(box: Box, outside: Path) -> None:
    """Between looking and mounting: somebody else writes to the volume, and no symlink in it may be followed."""
    volume = box.scratch / "volume"
    (volume / "real/sub").mkdir(parents=True)
    (volume / "sub").symlink_to(outside)
    (volume / "up").symlink_to("..")
    for below in ("sub", "up", "sub/file", "../outside", "real/../sub"):
        outcome = box.run("/bin/ls", "/data", mounts=(Bind(str(volume), "/data", below=below),))
        assert (outcome.error, outcome.out) == ("SandboxError", ""), below
        assert outcome.message.startswith("cannot open the source of a mount")
    assert box.run("/bin/ls", "/data", mounts=(Bind(str(volume), "/data", below="real"),)).out == "sub\n"
    assert untouched(outside)


@pytest.mark.parametrize("target", ["/proc/self/fd", "/proc/1/root", "/proc/thread-self/cwd"])
def test_cve_2021_30465_mount_target_is_a_link_into_proc(box: Box, target: str) -> None:
    outcome = run(box, {"here": target}, mounts=(Tmpfs("/here/below"),))
    assert outcome.error and "\n" not in outcome.message


@pytest.mark.parametrize("value", ["x" * 300, "loop"])
def test_mount_target_is_a_link_that_leads_nowhere(box: Box, value: str) -> None:
    """A link to a name that no file can have, and to itself, behind a directory that is to be made."""
    outcome = run(box, {"loop": value}, mounts=(Tmpfs("/new/../loop/data"), Symlink("/loop/link", "x")))
    assert outcome.error == "SandboxError" and outcome.message.startswith("cannot find the mount point `/")


def test_mount_target_leads_up_and_out(box: Box, outside: Path) -> None:
    """It is followed as a process in the root would follow it: to a directory of the root of that name."""
    outcome = run(box, {"up": "../../../../../.." + str(outside)}, "/bin/ls", "/up", mounts=(WriteFile("/up/new", b"x"), Symlink("/up/link", "x")))
    assert outcome.exit and outcome.exit.code == 0 and outcome.out == "link\nnew\n"
    assert untouched(outside)


@pytest.mark.parametrize("name", ["resolv.conf", "hosts", "hostname"])
def test_files_of_etc_are_links_to_the_host(box: Box, outside: Path, name: str) -> None:
    outcome = run(box, {f"etc/{name}": str(outside / "file")}, "/bin/sh", "-c", f"cat /etc/{name}; echo changed >/etc/{name}",
                  mounts=(WriteFile(f"/etc/{name}", b"ours\n"),))
    assert outcome.out == "ours\n"
    assert untouched(outside)


def test_cve_2026_55686_working_directory_is_a_link(box: Box, outside: Path) -> None:
    outcome = run(box, {"work": str(outside)}, "/bin/sh", "-c", "pwd; touch here", cwd="/work/new/deep", user="1000")
    assert outcome.exit is not None and str(outside) in outcome.out
    assert untouched(outside)


@pytest.mark.parametrize("cwd", [f"/proc/self/fd/{number}" for number in (3, 4, 5, 7, 8, 9, 12)] + ["/proc/self/cwd", "/proc/self/root", "/here"])
def test_cve_2024_21626_working_directory_is_a_descriptor(root_box: Box, cwd: str) -> None:  # noqa: F811
    outcome = run(root_box, {"here": "/proc/self/fd/7/.."}, "/bin/pwd", cwd=cwd)
    assert outcome.error and "\n" not in outcome.message


def test_passwd_is_a_link_to_the_host(box: Box, outside: Path) -> None:
    """CVE-2024-9676: nor is it read without an end."""
    (outside / "file").write_text("the host's")
    passwd = box.scratch / "passwd"
    passwd.write_text("evil:x:0:0::/:/bin/sh\n")
    assert run(box, {"etc/passwd": str(passwd)}, user="evil").error == "UserMissing"
    (box.scratch / "hostile/etc/passwd").unlink()
    outcome = run(box, {"etc/passwd": "/dev/zero"}, user="evil")
    assert outcome.error and "\n" not in outcome.message


def test_cve_2024_23652_stub_is_moved_and_a_link_put_there(box: Box, outside: Path) -> None:
    outcome = box.shell(f"mv /made /moved; ln -s {outside} /made; exit 0", mounts=(WriteFile("/made/file", b"x"),))
    assert outcome.exit is not None
    assert untouched(outside)


@pytest.mark.parametrize("word", ["0x0", "-1", "4294967296", "2147483648", "1000:", "1e3", "０", "root\n", " 0", "0 ", "nobody:nogroup:x"])
def test_cve_2026_30892_user_that_is_hard_to_read_is_never_another(root_box: Box, word: str) -> None:  # noqa: F811
    outcome = root_box.run("/bin/id", "-u", user=word)
    assert outcome.error if word != "1000:" else outcome.out == "1000\n", outcome


def test_cve_2024_23651_source_is_swapped_while_it_is_mounted(root_box: Box) -> None:  # noqa: F811
    """The bind of a directory that somebody keeps exchanging with a link shows the one or fails, and never what the link leads to by then."""
    base = root_box.scratch
    (base / "good").mkdir()
    (base / "good/kind").write_text("good\n")
    (base / "link").symlink_to("good")
    stop = threading.Event()

    def swap() -> None:
        while not stop.is_set():
            os.rename(base / "good", base / "aside")
            os.rename(base / "aside", base / "good")

    thread = threading.Thread(target=swap)
    thread.start()
    try:
        for _ in range(20):
            outcome = root_box.run("/bin/cat", "/mnt/kind", mounts=(Bind(str(base / "link"), "/mnt"),))
            assert outcome.error or outcome.out == "good\n"
    finally:
        stop.set()
        thread.join()
