"""User namespaces of ordinary users: made with as many ids as the machine grants, entered by commands, and what the machine allows.

A namespace with a full map (the user's subordinate ids, written by newuidmap and newgidmap) behaves like root's machine; one with a single id
cannot hold files of several owners.
"""

import os
from errno import EAGAIN

from kernel.errors import PROCESS_LIMIT, SyscallFailed
from kernel.syscalls import CLONE_NEWNS, CLONE_NEWUSER, PR_SET_DUMPABLE, prctl, setns, unshare
from kernel.value import Value
from sandbox.errors import SandboxError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from sandbox.client import Client

_HELPER_DIRECTORIES = ("/usr/bin", "/bin", "/usr/local/bin", "/usr/sbin", "/sbin", "/run/wrappers/bin")
_SUBID_FILE_MAX = 1 << 20
_CROWDED = 75                                             # exit status: no process could be started


class Entered(Value):
    """mode: "root" (nothing was done: the caller is root), "full" (root of a user namespace with many ids), "single" (with one)."""

    mode: str
    uid: int


class Range(Value):
    """`size` ids from `inside` on in the namespace are those from `outside` on in its parent."""

    inside: int
    outside: int
    size: int


def is_inside() -> bool:
    """Whether the caller is in a user namespace that is not the machine's first one."""
    with open("/proc/self/uid_map") as file:
        return sum(int(line.split()[2]) for line in file) < (1 << 32) - 1


def outer_uid() -> int:
    """The caller's user id as the namespace above calls it: in the machine's first one, its own."""
    uid = os.geteuid()
    with open("/proc/self/uid_map") as file:
        rows = [tuple(map(int, line.split())) for line in file]
    return next((outside + uid - inside for inside, outside, size in rows if inside <= uid < inside + size), uid)


def subordinate(text: str, name: str, uid: int) -> tuple[tuple[int, int], ...]:
    """(first, count) of every range that /etc/subuid or /etc/subgid, `text`, gives to the user called `name` or numbered `uid`."""
    found = []
    for line in text.splitlines():
        owner, _, rest = line.strip().partition(":")
        first, _, count = rest.partition(":")
        if owner in (name, str(uid)) and first.isdigit() and count.isdigit() and int(count):
            found.append((int(first), int(count)))
    return tuple(found)


def full_map(own: int, ranges: tuple[tuple[int, int], ...]) -> tuple[Range, ...]:
    """The own id as 0, the subordinate ones after it without gaps."""
    found, inside = [Range(0, own, 1)], 1
    for first, count in ranges:
        found.append(Range(inside, first, count))
        inside += count
    return tuple(found)


def _ranges(path: str, uid: int) -> tuple[tuple[int, int], ...]:
    try:
        with open(path, "rb") as file:
            text = file.read(_SUBID_FILE_MAX).decode(errors="replace")
    except OSError:
        return ()
    return subordinate(text, name_of(uid), uid)


def name_of(uid: int) -> str:
    """The user's name, or its number where it has none."""
    import pwd
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def helper(name: str) -> str:
    """Path of the set-uid helper, "" if it is not installed."""
    return next((path for directory in _HELPER_DIRECTORIES if os.access(path := f"{directory}/{name}", os.X_OK)), "")


def create() -> str:
    """Put the calling process, of a single thread, into a new user namespace as its root; "full" or "single".

    Raises SandboxError where the machine forbids it.
    """
    uid, gid = os.geteuid(), os.getegid()
    uids, gids = _ranges("/etc/subuid", uid), _ranges("/etc/subgid", uid)
    helpers = helper("newuidmap"), helper("newgidmap")
    if uids and gids and all(helpers):
        _create_with(helpers, full_map(uid, uids), full_map(gid, gids))
        return "full"
    _unshare()
    _write("/proc/self/setgroups", "deny")
    _write("/proc/self/uid_map", f"0 {uid} 1")
    _write("/proc/self/gid_map", f"0 {gid} 1")
    return "single"


def _unshare() -> None:
    try:
        unshare(CLONE_NEWUSER)
    except SyscallFailed as error:
        raise SandboxError("make a user namespace", error.errno or 0, help=error.hint) from error


def _write(path: str, text: str) -> None:
    try:
        with open(path, "w") as file:
            file.write(text)
    except OSError as error:
        raise SandboxError("map the user", error.errno or 0, path, help="`pybuild doctor` shows what this machine forbids") from error


def _create_with(helpers: tuple[str, str], uids: tuple[Range, ...], gids: tuple[Range, ...]) -> None:
    """The maps are written from outside, by the helpers, which a process that stays outside runs when the namespace is there."""
    ready_r, ready_w = os.pipe()
    result_r, result_w = os.pipe()
    target = os.getpid()
    try:
        pid = os.fork()
    except OSError as error:
        raise SandboxError("map the subordinate ids", error.errno or 0, helpers[0], help=PROCESS_LIMIT) from error
    if not pid:
        try:
            os.close(ready_w)
            if os.read(ready_r, 1):
                os.dup2(result_w, 1)
                os.dup2(result_w, 2)
                running = [os.posix_spawn(one, [one, str(target), *(str(number) for part in ids for number in part)], {})
                           for one, ids in zip(helpers, (uids, gids))]
                os._exit(max(os.waitstatus_to_exitcode(os.waitpid(one, 0)[1]) != 0 for one in running))
        except BlockingIOError:
            os._exit(_CROWDED)
        finally:
            os._exit(1)
    os.close(ready_r)
    os.close(result_w)
    try:
        _unshare()
        os.write(ready_w, b"x")
    finally:
        os.close(ready_w)
        with open(result_r, "rb") as file:
            said = file.read(4096).decode(errors="replace").strip()
        status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    if status == _CROWDED:
        raise SandboxError("map the subordinate ids", EAGAIN, helpers[0], help=PROCESS_LIMIT)
    if status:
        raise SandboxError("map the subordinate ids", path=helpers[0], reason=said.splitlines()[0] if said else f"it ended with {status}",
                           help="the user's ranges in /etc/subuid and /etc/subgid must not overlap with what is not theirs")


def enter(run_directory: str, client: "Client | None" = None) -> Entered:
    """Make the calling process, of a single thread, root: nothing to do for root; an ordinary user joins the zygote's user namespace.

    It then also has a mount namespace of its own, a copy of the one it was in, so that sandboxes can be given its view of the files.
    Files, processes and sockets of the user stay its own: the id is the same, only called 0.
    """
    uid = os.geteuid()
    if not uid:
        return Entered("root", 0)
    if client is None:
        from sandbox.client import connect
        client = connect(run_directory)
    fd, single = client.user_namespace()
    try:
        setns(fd, CLONE_NEWUSER)
        unshare(CLONE_NEWNS)
    except SyscallFailed as error:
        raise SandboxError("enter the user namespace", error.errno or 0) from error
    finally:
        os.close(fd)
    prctl(PR_SET_DUMPABLE, 1)                             # entering made /proc/self the host root's
    return Entered("single" if single else "full", uid)
