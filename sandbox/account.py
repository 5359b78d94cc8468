"""Who the process is to be: `name|uid[:group|gid]` resolved in the root's own /etc/passwd and /etc/group, as docker resolves USER.

The files are an image's: read in root, regular files only, at most 1 MiB. What is a number need not be listed there.
"""

from kernel.errors import SyscallFailed
from kernel.paths import read_regular
from kernel.value import Value
from sandbox.errors import SandboxError, UserMissing

ID_MAX = (1 << 31) - 1
_FILE_MAX = 1 << 20


class Account(Value):
    """groups: as the kernel is told them, the process's own among them: else leaving a group would open what is closed to it (CVE-2022-36109)."""

    uid: int
    gid: int
    groups: tuple[int, ...]
    home: str


class _User(Value):
    name: str
    uid: int
    gid: int
    home: str


class _Group(Value):
    name: str
    gid: int
    members: tuple[str, ...]


def find(root_fd: int, user: str, additional: tuple[str, ...]) -> Account:
    """The account called `user` ("" is uid 0) with `additional` groups. Raises UserMissing for a name that the root does not know."""
    return resolve(user, additional, lambda name: _read(root_fd, name))


def _read(root_fd: int, name: str) -> str:
    """Text of /etc/`name`, "" if there is none."""
    try:
        return read_regular(root_fd, f"/etc/{name}", _FILE_MAX).decode(errors="replace")
    except (FileNotFoundError, NotADirectoryError):
        return ""
    except SyscallFailed as error:
        raise SandboxError("read the image's", error.errno or 0, f"/etc/{name}", reason="it is no regular file of at most 1 MiB") from error


def resolve(user: str, additional: tuple[str, ...], read: "Callable[[str], str]") -> Account:
    """As `find`; `read` gives the text of "passwd" and "group"."""
    wanted, explicit, group = user.partition(":")
    wanted = wanted or "0"
    number = _number(wanted, "user")
    listed = next((one for one in _users(read("passwd")) if (one.uid == number if number >= 0 else one.name == wanted)), None)
    if listed is None and number < 0:
        raise UserMissing("user", path=wanted)
    uid, gid, home = (listed.uid, listed.gid, listed.home) if listed else (number, 0, "/")
    groups: tuple[int, ...] = ()
    known = _groups(read("group")) if explicit or listed or additional else ()
    if explicit and group:
        gid = _group(group, known)
    elif listed:
        groups = tuple(one.gid for one in known if listed.name in one.members)
    groups += tuple(_group(one, known) for one in additional)
    return Account(uid, gid, tuple(dict.fromkeys((gid, *groups))), home or "/")


def _group(wanted: str, known: tuple[_Group, ...]) -> int:
    number = _number(wanted, "group")
    if number >= 0:
        return number
    for one in known:
        if one.name == wanted:
            return one.gid
    raise UserMissing("group", path=wanted)


def _number(word: str, kind: str) -> int:
    """Value of an all-digit word, -1 for a name; a number out of range is an error, never another user."""
    if not (word.isascii() and word.isdigit()):
        return -1
    if len(word) > 10 or int(word) > ID_MAX:
        raise SandboxError(f"use the {kind} id", path=word, reason=f"it is larger than {ID_MAX}")
    return int(word)


def _users(text: str) -> tuple[_User, ...]:
    rows = (line.strip().split(":") for line in text.splitlines())
    return tuple(_User(row[0], int(row[2]), int(row[3]), row[5] if len(row) > 5 else "") for row in rows
                 if len(row) > 3 and _is_id(row[2]) and _is_id(row[3]))


def _groups(text: str) -> tuple[_Group, ...]:
    rows = (line.strip().split(":") for line in text.splitlines())
    return tuple(_Group(row[0], int(row[2]), tuple(row[3].split(",")) if len(row) > 3 else ()) for row in rows if len(row) > 2 and _is_id(row[2]))


def _is_id(word: str) -> bool:
    return word.isascii() and word.isdigit() and len(word) <= 10 and int(word) <= ID_MAX


TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
