"""What the build cache of this machine has: steps with their layers, and cache mounts. In: the store; out: entries, newest first, by kind."""

import os
from marshal import loads

from builder.cachemount import CacheDirectories
from builder.errors import BuildError
from kernel.value import Value
from store.digest import Digest
from store.gc import Budget, collect, usage

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from store.store import Store

STEP, SOURCE, MOUNT = "step", "source", "mount"


class CacheEntry(Value):
    """id: key of a step, name of a mount's directory; kind: one of the words above; text: the step as its Dockerfile has it, about; what a mount is
    called; created: RFC 3339 or ""; used: seconds since the epoch; size: bytes of files."""

    id: str
    kind: str
    text: str
    size: int
    created: str
    used: float
    snapshot: str = ""


def entries(store: "Store") -> "list[CacheEntry]":
    """All there is, the most recently used first."""
    rows = store.index.query("SELECT r.key, r.op, r.size, r.created, r.used, r.snapshot, p.parts FROM record r LEFT JOIN parts p ON p.key = r.key")
    found = [CacheEntry(key, SOURCE if op == key else STEP, text_of(bytes(parts)) if parts else "fetched files" if op == key else "", size, created,
                        used, snapshot) for key, op, size, created, used, snapshot, parts in rows]
    for directory in CacheDirectories(f"{store.root.path}/cachemounts").list():
        found.append(CacheEntry(directory.name, MOUNT, directory.id, usage(directory.path), "", directory.used))
    return sorted(found, key=lambda entry: (-entry.used, entry.id))


def text_of(parts: bytes) -> str:
    """A step by the parts of its key: one line for people."""
    name, fields = loads(parts)[1]
    values: dict[str, Any] = dict(fields)
    if name == "RunOp":
        argv = values.get("argv", ())
        words = argv[2:] if len(argv) == 3 and argv[1] in ("-c", "-ec") else argv
        text = f"RUN {' '.join(words)}"
    elif name == "CopyOp":
        text = f"COPY .. {values.get('destination', '')}"
    elif name == "MkdirOp":
        text = f"WORKDIR {values.get('path', '')}"
    else:
        text = {"MergeOp": "COPY --link"}.get(name, name)
    return "".join(c if c.isprintable() else " " for c in text)


def find(store: "Store", word: str) -> CacheEntry:
    """The entry whose id begins so (with or without `sha256:`), or the mount that is called so. Raises BuildError for none and for several."""
    start = word.removeprefix("sha256:")
    known = entries(store)
    found = [e for e in known if start and e.id.removeprefix("sha256:").startswith(start)] or [e for e in known if e.kind == MOUNT and e.text == word]
    if not found:
        raise BuildError(f"the build cache has no `{word}`", help="`pybuild cache ls` lists it")
    if len(found) > 1:
        raise BuildError(f"`{word}` is {len(found)} entries of the build cache", help="more of the id says which one")
    return found[0]


def describe(store: "Store", entry: CacheEntry) -> "dict[str, Any]":
    """Everything that is known of it, as JSON has it."""
    if entry.kind == MOUNT:
        path = f"{store.root.path}/cachemounts/{entry.id}/data"
        return {"ID": entry.id, "Type": MOUNT, "Name": entry.text, "Size": entry.size, "LastUsed": entry.used, "Path": path}
    record = store.cache.get(Digest(entry.id))
    assert record is not None, "an entry that has just been listed"
    parts = store.cache.parts(record.key)
    found = {"ID": entry.id, "Type": entry.kind, "Step": entry.text, "Result": record.result, "Tree": record.tree, "DiffID": record.diff_id,
             "Size": record.size, "Created": record.created, "LastUsed": entry.used, "Snapshot": record.snapshot}
    if parts:
        format, (name, fields), inputs = loads(parts)
        found |= {"Format": format, "Op": name, "Fields": {field: _shown(value) for field, value in fields}, "Inputs": list(inputs)}
    return found


def _shown(value: "Any") -> "Any":
    if isinstance(value, tuple | list):
        return [_shown(item) for item in value]
    return value.hex() if isinstance(value, bytes) else value


def remove(store: "Store", found: "list[CacheEntry]") -> "tuple[list[CacheEntry], int]":
    """(entries that could be removed, bytes that are free again). A mount that a build uses stays."""
    directories = CacheDirectories(f"{store.root.path}/cachemounts")
    gone, freed = [], 0
    for entry in found:
        if entry.kind != MOUNT:
            store.cache.delete(Digest(entry.id))
            gone.append(entry)
        elif os.path.isdir(f"{store.root.path}/cachemounts/{entry.id}") and directories.remove(entry.id):
            gone.append(entry)
            freed += entry.size
    return gone, freed + collect(store, Budget()).bytes
