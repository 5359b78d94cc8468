"""USER as docker resolves it, and image files that try to mislead."""

import os
from pathlib import Path

import pytest

from sandbox.account import Account, find, resolve
from sandbox.errors import SandboxError, UserMissing

PASSWD = "root:x:0:0:root:/root:/bin/sh\nbroken\n# c\nweb:x:33:34:www:/var/www:/bin/false\n1000:x:5:5::/odd:\nnohome:x:7:7\nbig:x:99999999999:1::/:\n"
GROUP = "root:x:0:\nwheel:x:10:root,web\nbroken\nwww:x:34:\nhuge:x:4294967296:web\n"


def read(name: str) -> str:
    return {"passwd": PASSWD, "group": GROUP}[name]


@pytest.mark.parametrize(("user", "expected"), [
    ("", Account(0, 0, (0, 10), "/root")),
    ("root", Account(0, 0, (0, 10), "/root")),
    ("web", Account(33, 34, (34, 10), "/var/www")),
    ("33", Account(33, 34, (34, 10), "/var/www")),
    ("33:", Account(33, 34, (34, 10), "/var/www")),
    ("web:www", Account(33, 34, (34,), "/var/www")),
    ("web:0", Account(33, 0, (0,), "/var/www")),
    ("1000", Account(1000, 0, (0,), "/")),                # a number is never a name
    ("1000:77", Account(1000, 77, (77,), "/")),
    ("nohome", Account(7, 7, (7,), "/")),
    (":wheel", Account(0, 10, (10,), "/root")),
])
def test_resolve(user: str, expected: Account) -> None:
    assert resolve(user, (), read) == expected


def test_resolve_additional_groups_once() -> None:
    assert resolve("web", ("wheel", "44", "www"), read).groups == (34, 10, 44)


@pytest.mark.parametrize(("user", "message"), [
    ("nobody", "no user `nobody` in the image"), ("web:nogroup", "no group `nogroup` in the image"), ("-1", "no user `-1` in the image"),
    ("big", "no user `big` in the image"), ("0x0", "no user `0x0` in the image"), ("\u0661", "no user `\u0661` in the image")])
def test_resolve_unknown(user: str, message: str) -> None:
    with pytest.raises(UserMissing) as caught:
        resolve(user, (), read)
    assert str(caught.value) == message


@pytest.mark.parametrize("user", ["2147483648", "4294967296", "4294967295", "0:99999999999999999999"])
def test_resolve_number_out_of_range_is_an_error(user: str) -> None:
    """CVE-2026-30892: a number that is cut off is another user."""
    with pytest.raises(SandboxError, match="larger than 2147483647"):
        resolve(user, (), read)


def test_find_without_files(tmp_path: Path) -> None:
    root = os.open(tmp_path, os.O_PATH)
    assert find(root, "5:6", ()) == Account(5, 6, (6,), "/")
    with pytest.raises(UserMissing):
        find(root, "web", ())


@pytest.mark.parametrize("make", [
    lambda path: os.mkfifo(path), lambda path: path.mkdir(), lambda path: path.write_bytes(b"x" * (1 << 20) + b"x")])
def test_find_passwd_that_is_no_ordinary_file(tmp_path: Path, make: object) -> None:
    """CVE-2024-9676: reading it must neither hang nor fill the memory."""
    (tmp_path / "etc").mkdir()
    make(tmp_path / "etc/passwd")      # type: ignore[operator]
    with pytest.raises(SandboxError, match="no regular file"):
        find(os.open(tmp_path, os.O_PATH), "web", ())


def test_find_passwd_symlink_stays_in_the_root(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/passwd").symlink_to("/etc/passwd-of-image")
    (tmp_path / "etc/passwd-of-image").write_text("inner:x:12:13::/:\n")
    root = os.open(tmp_path, os.O_PATH)
    assert find(root, "inner", ()).uid == 12
    (tmp_path / "etc/passwd").unlink()
    (tmp_path / "etc/passwd").symlink_to("../../../../../../../etc/hostname")
    with pytest.raises(UserMissing):
        find(root, "inner", ())
