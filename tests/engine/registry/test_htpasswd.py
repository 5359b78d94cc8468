"""Files of users: lines, hashes, changes while serving; and that what checks bcrypt is really bcrypt."""

import os
import sys
from pathlib import Path

import pytest

from engine.registry.htpasswd import InvalidUsers, Users, find_crypt, parse_users
from tests.engine.registry.test_access import HASH

# test vectors of crypt_blowfish, by its author Solar Designer (public domain)
VECTORS = [("U*U", "$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW"),
           ("U*U*", "$2a$05$CCCCCCCCCCCCCCCCCCCCC.VGOzA784oUp/Z0DY336zx7pLYAy0lwK"),
           ("U*U*U", "$2a$05$XXXXXXXXXXXXXXXXXXXXXOAcXxm9kjPGEMsLznoKqmqw7tc8WCx4a"),
           ("", "$2a$05$CCCCCCCCCCCCCCCCCCCCC.7uG0VCzI2bS7j6ymqJi9CdcdxiRTWNy")]


@pytest.mark.parametrize(("password", "hashed"), VECTORS)
def test_known_hashes(password: str, hashed: str) -> None:
    crypt = find_crypt("users")
    assert crypt(password.encode(), hashed) and crypt(password.encode(), hashed.replace("$2a$", "$2y$"))
    assert not crypt(password.encode() + b"x", hashed)


def test_bcrypt_package_agrees_where_it_is_installed() -> None:
    from engine.registry.htpasswd import _of_package

    crypt = _of_package()
    if crypt is None:
        pytest.skip("the package `bcrypt` is not installed; the C library's crypt(3) does it here")
    assert all(crypt(password.encode(), hashed) and not crypt(b"x" + password.encode(), hashed) for password, hashed in VECTORS)


def test_c_library_does_it_where_python_can_ask_it() -> None:
    from engine.registry.htpasswd import _of_libc

    assert (_of_libc() is not None) == (sys.version_info < (3, 13))


def test_lines_of_the_file() -> None:
    assert parse_users("f", f"# people\n\nalice:{HASH}\n bob:{HASH}  \n") == {"alice": HASH, "bob": HASH}


@pytest.mark.parametrize(("line", "says"), [
    ("alice", "no `name:hash` in line 1"), (f":{HASH}", "no `name:hash` in line 1"), ("alice:{SHA}abc", "no bcrypt hash for `alice` in line 1"),
    ("alice:$apr1$x$y", "no bcrypt hash"), ("alice:plain", "no bcrypt hash"), (f"alice:{HASH}x", "no bcrypt hash")])
def test_line_that_is_none(line: str, says: str) -> None:
    with pytest.raises(InvalidUsers, match="the file of users `f` has ") as caught:
        parse_users("f", line)
    assert says in str(caught.value)


def test_file_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(InvalidUsers, match="cannot be read: no such file"):
        Users(str(tmp_path / "missing"))


def test_change_of_the_file_counts_at_once_and_an_error_in_it_does_not(tmp_path: Path) -> None:
    path = tmp_path / "users"
    path.write_text(f"alice:{HASH}\n")
    users = Users(str(path))
    assert users.check("alice", "secret") and users.check("alice", "secret")

    def changed(text: str) -> None:
        path.write_text(text)
        os.utime(path, (1, len(text)))
        users._looked = 0.0                            # else it would look in a second

    changed(f"bob:{HASH}\n")
    assert users.check("bob", "secret") and not users.check("alice", "secret")
    changed("nonsense\n")
    assert users.check("bob", "secret")
    path.unlink()
    users._looked = 0.0
    assert users.check("bob", "secret")


def test_right_password_is_computed_once(tmp_path: Path) -> None:
    (tmp_path / "users").write_text(f"alice:{HASH}\n")
    asked: list[bytes] = []

    def crypt(password: bytes, hashed: str) -> bool:
        asked.append(password)
        return password == b"secret"

    users = Users(str(tmp_path / "users"), crypt)
    assert [users.check("alice", "secret") for _ in range(3)] == [True] * 3
    assert [users.check("alice", "wrong") for _ in range(2)] == [False] * 2
    assert not users.check("nobody", "secret")         # takes its time too
    assert asked == [b"secret", b"wrong", b"wrong", b"secret"]
