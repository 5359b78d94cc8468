"""Whether an image comes out the same when it is built again: each step anew, and what differs, down to the file."""

from marshal import dumps, loads

from builder.request import CacheAddress, Output, Request, Rescue, Secret, Tree
from kernel.value import Value, plain
from store.digest import Digest

TYPE_CHECKING = False
if TYPE_CHECKING:
    from store.store import Store

_KIND = f"request {len(Request._fields)}"


class Difference(Value):
    """One thing that the rebuilt image has otherwise. layer: from 1, 0 for the config."""

    layer: int
    text: str


def keep_request(store: "Store", image: Digest, request: Request) -> None:
    """Remember how the image was made; of caches elsewhere only that the image itself has one: the rest may be secret, and changes nothing."""
    inline = (CacheAddress("inline"),) if request.has_inline_cache else ()
    store.images.note(image, _KIND, dumps(plain(request._replace(cache_from=(), cache_to=inline, rescue=Rescue())), 2))


def request_of(store: "Store", image: Digest) -> Request | None:
    """How the image was made here; None if it was not, or by an earlier version."""
    data = store.images.noted(image, _KIND)
    if data is None:
        return None
    fields = dict(zip(Request._fields, loads(data)[1:]))
    fields["secrets"] = tuple(Secret(*secret[1:]) for secret in fields["secrets"])
    fields["outputs"] = tuple(Output(*output[1:]) for output in fields["outputs"])
    if fields.get("tree"):
        fields["tree"] = Tree(*fields["tree"][1:])
    fields["cache_to"] = tuple(CacheAddress(*address[1:]) for address in fields.get("cache_to", ()))
    fields["rescue"] = Rescue()
    return Request(**fields)


def compare(store: "Store", first: Digest, second: Digest) -> list[Difference]:
    """What differs between two images; [] if they are one."""
    if first == second:
        return []
    found = []
    one, two = store.images.layers(first), store.images.layers(second)
    if len(one) != len(two):
        found.append(Difference(0, f"{len(one)} layers, {len(two)} when built again"))
    for number, (a, b) in enumerate(zip(one, two), 1):
        if a.diff_id != b.diff_id:
            before, after = _rows(store, a.snapshot), _rows(store, b.snapshot)
            texts = (_file(path, before.get(path), after.get(path)) for path in sorted(before.keys() | after.keys()))
            found += [Difference(number, text) for text in texts if text]
    if not found:
        same = _without_times(store, first) == _without_times(store, second)
        found.append(Difference(0, "times in the config and history; `--reproducible` fixes them" if same else "config or history"))
    return found


def _without_times(store: "Store", image: Digest) -> object:
    import json

    config = json.loads(store.images.config_bytes(image))
    config.pop("created", None)
    for entry in config.get("history", ()):
        entry.pop("created", None)
    return config


def _rows(store: "Store", snapshot: str) -> "dict[str, tuple[object, ...]]":
    from store.snapshots import SnapshotId

    return {f"{rel}{row[0]}": row[1:] for rel, rows in store.snapshots.tree(SnapshotId(snapshot)).items() for row in rows}


def _file(path: str, was: "tuple[object, ...] | None", now: "tuple[object, ...] | None") -> str:
    if was is None:
        return f"/{path} is new"
    if now is None:
        return f"/{path} is gone"
    (mode, size, mtime, _, _, uid, gid, *_), (mode2, size2, mtime2, _, _, uid2, gid2, *_) = was[0], now[0]      # type: ignore[misc]  # a Stat
    if was[1:] != now[1:] or size != size2:              # type: ignore[has-type]
        return f"/{path} content"
    if (mode, uid, gid) != (mode2, uid2, gid2):          # type: ignore[has-type]
        return f"/{path} mode or owner"
    return f"/{path} time" if mtime != mtime2 else ""    # type: ignore[has-type]
