"""`squash=true` of an output: all layers of a build as one, over those of its base. In: a chain; out: the same files in fewer layers.

What the base and the whole show is compared, as a commit of a container would be: what came and went again on the way leaves nothing behind.
"""

import os
import tempfile
from marshal import dumps, loads

from builder.cachekey import chain_result
from builder.filesteps import as_layers
from builder.solver import BuiltLayer
from store.digest import Digest, digest_of
from store.extract import Policy, apply
from store.pack import write_tar
from store.snapshots import SnapshotId
from store.tree import CHARACTER, DIRECTORY, FORMAT, MODE, OPEN_DIRECTORY, digest, own, scan, size_of, sorted_names

TYPE_CHECKING = False
if TYPE_CHECKING:
    from builder.solver import Chain
    from store.store import Store
    from store.tree import Row, Tree

_CHUNK = 1 << 20


def squash(store: "Store", chain: "Chain") -> "Chain":
    """chain: all of it in the store. The base image's layers stay as they are. Raises StoreError."""
    base = tuple(layer for layer in chain if not layer.key)
    made = chain[len(base):]
    if len(made) < 2:
        return chain
    below = base[-1].result if base else None
    memo = digest_of(b"squash " + (below or "").encode() + made[-1].result.encode())
    known = store.cache.get_build(memo)
    if known is not None:
        tree, snapshot, diff_id, size = loads(known)
        if store.snapshots.hold(SnapshotId(snapshot)):
            return (*base, BuiltLayer(chain_result(below, Digest(tree)), tree, snapshot, diff_id, made[-1].created, "", size))
    facts = _made(store, base, chain)
    store.snapshots.hold(SnapshotId(facts[1]))
    store.cache.put_build(memo, dumps(facts, 2))
    return (*base, BuiltLayer(chain_result(below, Digest(facts[0])), *facts[:3], made[-1].created, "", facts[3]))


def _made(store: "Store", base: "Chain", chain: "Chain") -> "tuple[str, str, Digest, int]":
    """(tree, snapshot, diff ID, size) of the layer, written as a tar between: its reader makes marks of deletion as this store has them."""
    with store.view(as_layers(base)) as below, store.view(as_layers(chain)) as whole, tempfile.TemporaryFile(dir=f"{store.root.path}/tmp") as file:
        write_tar(difference(below.walk() if base else {"": []}, whole.walk()), whole.directories, file.write)
        file.seek(0)
        draft = store.snapshots.begin(whole.directories[0])
        try:
            fd = os.open(draft.directory, OPEN_DIRECTORY)
            try:
                policy = Policy(xattr_prefix=store.root.xattr_prefix, owners=store.root.owners)
                applied = apply(iter(lambda: file.read(_CHUNK), b""), fd, policy, below if base else None)
            finally:
                os.close(fd)
        except BaseException:
            store.snapshots.discard(draft)
            raise
        tree = own(scan(draft.directory, owners=store.root.owners), applied.owners)
        return digest(tree), store.snapshots.commit(draft, tree=tree), applied.diff_id, size_of(tree)


def difference(before: "Tree", after: "Tree") -> "Tree":
    """Rows of a layer that makes the second of the first: with the directories that lead to them, and marks for what is gone. Pure."""
    found: "Tree" = {}
    todo = [""]
    while todo:
        rel = todo.pop()
        old = {row[0]: row for row in before.get(rel, ())}
        new = {row[0]: row for row in after.get(rel, ())}
        rows = [row for name, row in new.items() if name not in old or _facts(old[name]) != _facts(row)]
        rows += [_whiteout(name) for name in old.keys() - new.keys()]
        if rows:
            _lead(found, after, rel)
        for row in rows:
            found.setdefault(rel, []).append(row)
        todo += [f"{rel}{name}/" for name, row in new.items() if row[1][MODE] & FORMAT == DIRECTORY]
    return {rel: _sorted(rows) for rel, rows in found.items()}


def _lead(found: "Tree", after: "Tree", rel: str) -> None:
    """Put the directories that lead to `rel` into the layer."""
    while rel:
        above, _, name = rel[:-1].rpartition("/")
        above = f"{above}/" if above else ""
        rows = found.setdefault(above, [])
        if not any(row[0] == name for row in rows):
            rows.append(next(row for row in after[above] if row[0] == name))
        found.setdefault(rel, [])
        rel = above


def _sorted(rows: "list[Row]") -> "list[Row]":
    named = {row[0]: row for row in rows}
    return [named[name] for name in sorted_names(list(named))]


def _facts(row: "Row") -> "tuple[object, ...]":
    """What makes an entry another one: not where it lies, and of a directory not how many names it has."""
    _, (mode, size, mtime, _, _, uid, gid, links, device), link, xattrs, content = row
    return (mode, uid, gid, device, link, xattrs, content, mtime) if mode & FORMAT == DIRECTORY else (
        mode, uid, gid, device, link, xattrs, content, mtime, size, links)


def _whiteout(name: str) -> "Row":
    return name, (CHARACTER, 0, 0, 0, 0, 0, 0, 1, 0), "", (), b""
