"""Which ids of this machine a container's own are, where it has a user namespace of its own: what `--userns` says, made into a range.

`auto`: 65,536 that no other container has, out of those that /etc/subuid and /etc/subgid give to the user `containers`, else from 1,879,048,192
on, where systemd's list of ids has nobody. `remap[:USER]`: those of that user (`dockremap` unless said), for all containers alike. Files keep
their owners in either case.
"""

from kernel.value import Value
from runner.errors import InvalidOption

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from runner.container import ContainerSpec
    from sandbox.userns import Range

    Spans = tuple[tuple[int, int], ...]                   # (first, count)

SIZE = 1 << 16
HOST = ("", "host")
_POOL = ((0x70000000, 0x0FFE0000),)
_POOL_USER, _REMAP_USER = "containers", "dockremap"
_FILE_MAX = 1 << 20


class IdRange(Value):
    """`size` uids from `uid` on and gids from `gid` on, of this machine, are those from 0 on in the container."""

    uid: int
    gid: int
    size: int

    def maps(self) -> "tuple[tuple[Range, ...], tuple[Range, ...]]":
        from sandbox.userns import Range

        return (Range(0, self.uid, self.size),), (Range(0, self.gid, self.size),)


def check(spec: "ContainerSpec", *, rootless: bool) -> None:
    """Raises InvalidOption for a mode that there is not, and where it cannot be had."""
    mode = spec.userns_mode
    if mode in HOST:
        return
    check_mode(mode, spec.runtime, rootless=rootless)
    if spec.pid_mode.startswith("container:"):
        raise InvalidOption("user namespace", mode, "does not go with the process numbers of another container")
    if spec.ipc_mode.startswith("container:") and mode == "auto":
        raise InvalidOption("user namespace", mode, "does not go with the shared memory of another container, whose ids are others",
                            "`remap` gives both the same")


def check_mode(mode: str, runtime: str, *, rootless: bool) -> None:
    """As `check`, of one that is not in HOST, for whatever is to run."""
    if mode.startswith("auto:"):
        raise InvalidOption("user namespace", mode, f"has options, and there are none: a range always has {SIZE} ids", "`auto`")
    if mode.partition(":")[0] not in ("auto", "remap") or mode == "remap:":
        raise InvalidOption("user namespace", mode, "is unknown", "it is one of `host`, `auto`, `remap` and `remap:USER`")
    if rootless:
        raise InvalidOption("user namespace", mode, "takes root: the owners of files cannot be mapped by an ordinary user",
                            "what an ordinary user runs is in the user's own user namespace already")
    if runtime:
        raise InvalidOption("user namespace", mode, f"is not there with the runtime `{runtime}`")


def allot(mode: str, others: "Iterable[IdRange]", subuid: str, subgid: str, seed: int) -> IdRange:
    """The range for a new container. others: ranges that containers have. subuid, subgid: texts of the files.

    seed: where to begin to look, for stores that do not know of each other.
    """
    from sandbox.userns import subordinate

    kind, _, user = mode.partition(":")
    if kind == "remap":
        user = user or _REMAP_USER
        uids, gids = (subordinate(text, *_named(user)) for text in (subuid, subgid))
        if not uids or not gids:
            raise InvalidOption("user namespace", mode, f"the user `{user}` has no ids in /etc/subuid and /etc/subgid",
                                f"`{user}:300000:65536` is such a line; it belongs into both files")
        return IdRange(uids[0][0], gids[0][0], min(uids[0][1], gids[0][1]))
    used = tuple(others)
    pools = [subordinate(text, *_named(_POOL_USER)) for text in (subuid, subgid)]
    given = all(pools)
    free_uids, free_gids = (
        _slots(pool if given else _POOL, (*((getattr(one, field), one.size) for one in used), *(() if given else _listed(text))), seed)
        for pool, field, text in zip(pools, ("uid", "gid"), (subuid, subgid)))
    try:
        return IdRange(next(free_uids), next(free_gids), SIZE)
    except StopIteration:
        raise InvalidOption("user namespace", mode, f"every range of {SIZE} ids is some container's",
                            f"remove containers, or give `{_POOL_USER}` more ids in /etc/subuid and /etc/subgid") from None


def _slots(pool: "Spans", taken: "Spans", seed: int) -> "Iterator[int]":
    """First ids of the ranges in `pool` that touch nothing that is taken."""
    count = sum(size // SIZE for _, size in pool)
    for index in range(count):
        place = (seed + index) % count
        for first, size in pool:
            if place < size // SIZE:
                first += place * SIZE
                if all(first + SIZE <= other or other + many <= first for other, many in taken):
                    yield first
                break
            place -= size // SIZE


def _listed(text: str) -> "Spans":
    """Every range that the file gives to anybody."""
    rows = (line.strip().split(":") for line in text.splitlines())
    return tuple((int(row[1]), int(row[2])) for row in rows if len(row) == 3 and row[1].isdigit() and row[2].isdigit())


def _named(user: str) -> "tuple[str, int]":
    """(name, number) as a line may call the user."""
    import pwd

    try:
        entry = pwd.getpwuid(int(user)) if user.isdigit() else pwd.getpwnam(user)
    except (KeyError, OverflowError):
        return user, int(user) if user.isdigit() else -1
    return entry.pw_name, entry.pw_uid


def read(path: str) -> str:
    """Text of /etc/subuid or /etc/subgid, "" if there is none."""
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read(_FILE_MAX)
    except OSError:
        return ""
