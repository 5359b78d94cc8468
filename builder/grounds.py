"""Where RUN steps run: the layers below, a draft on top, what bind mounts show, and directories for what is thrown away.

In: a vertex, the chains of its inputs, a draft; out: a Place (builder.running). What a bind mount selects of a local directory is made a snapshot.
"""

import os
import time

from builder.copying import Dressing, copy
from builder.epoch import now
from builder.files import DIRECTORY
from builder.graph import SourceLocal
from builder.running import Place
from builder.selection import take
from builder.target import Target
from store.cache import CacheRecord
from store.digest import digest_of
from store.snapshots import SnapshotId
from store.tree import FORMAT, GID, MODE, REGULAR, UID, digest, scan, size_of
from store.view import View

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from builder.files import Files
    from builder.graph import Edge, Op, Vertex
    from builder.solver import Chain
    from store.digest import Digest
    from store.snapshots import Draft
    from store.store import Store


class Grounds:
    """local, content, source_of: as SandboxExecutor has them; directories: what to mount of a chain, topmost first."""

    def __init__(self, store: "Store", local: "Callable[[str], Files]", content: "Callable[[Edge], Digest]", source_of: "Callable[[Edge], Op]",
                 directories: "Callable[[Chain], tuple[str, ...]]") -> None:
        self._store, self._local, self._content, self._source_of, self._directories = store, local, content, source_of, directories
        self._marked = store.root.owners == "xattr"
        self._known_specials: dict[str, dict[str, tuple[int, int]]] = {}

    def place(self, vertex: "Vertex", inputs: "tuple[Chain, ...]", draft: "Draft") -> Place:
        """Where a RUN runs, with `draft` on top; whoever asks calls `remove_scratch` in the end."""
        mounted: list[tuple[str, ...]] = [()]
        for edge, chain in zip(vertex.inputs[1:], inputs[1:]):
            mounted.append(self._mounted(edge, chain))
        below = self._directories(inputs[0])
        if not below or not all(mounted[1:]):
            empty = (self._scratch(draft, "empty"),)     # an overlay needs something to lie on
            below, mounted = below or empty, [directories or empty for directories in mounted]
        return Place(below, draft.directory, draft.work, tuple(mounted), lambda: self._scratch(draft, f"rw-{time.monotonic_ns()}"),
                     self._specials(inputs[0]) if self._marked else None)

    def _specials(self, chain: "Chain") -> dict[str, tuple[int, int]]:
        """Owners of the links and fifos in the layers of a chain, as far as they are not root's: by path."""
        found: dict[str, tuple[int, int]] = {}
        for layer in chain:
            specials = self._known_specials.get(layer.snapshot)
            if specials is None:
                tree = self._store.snapshots.tree(SnapshotId(layer.snapshot))
                specials = self._known_specials[layer.snapshot] = {
                    f"{rel}{row[0]}": (row[1][UID], row[1][GID]) for rel, rows in tree.items() for row in rows
                    if row[1][MODE] & FORMAT not in (REGULAR, DIRECTORY)}
            found |= specials
        return {path: owner for path, owner in found.items() if owner != (0, 0)}

    def _scratch(self, draft: "Draft", name: str) -> str:
        """A directory beside the draft's own, gone before it is committed."""
        path = f"{draft.path}/scratch"
        os.makedirs(f"{path}/{name}", 0o755, exist_ok=True)
        return f"{path}/{name}"

    def remove_scratch(self, draft: "Draft") -> None:
        if os.path.exists(f"{draft.path}/scratch"):
            self._store.temporary.remove(f"{draft.id}/scratch")

    def _mounted(self, edge: "Edge", chain: "Chain") -> tuple[str, ...]:
        """Directories to mount for an input: a chain's layers, or what a bind mount selects of a local directory, as a snapshot of its own."""
        source = self._source_of(edge)
        if not isinstance(source, SourceLocal):
            return self._directories(chain)
        assert edge.selector is not None
        key = digest_of(b"mounted " + self._content(edge).encode() + edge.selector.picks[0].path.encode())
        store = self._store
        with store.cache.lock(key):
            record = store.cache.get(key)
            if record is None or not store.snapshots.hold(SnapshotId(record.snapshot)):
                record = self._snapshot_of_local(key, edge)
        return store.snapshots.directories(SnapshotId(record.snapshot))

    def _snapshot_of_local(self, key: "Digest", edge: "Edge") -> CacheRecord:
        assert edge.selector is not None
        store, op = self._store, self._source_of(edge)
        assert isinstance(op, SourceLocal)
        files = self._local(op.name)
        draft = store.snapshots.begin()
        target = Target(View(()), draft.directory, marked=self._marked)
        taken = take(files, edge.selector)
        digests: dict[str, bytes] = {}
        for item in taken:
            destination = f"/{item.name}"
            if item.node.is_directory and item.name:
                target.make_directories(item.name)
            digests |= copy(files, [item], target, destination, Dressing())
        target.close()
        tree = scan(draft.directory, owners=store.root.owners, known=by_inode(draft, digests))
        snapshot = store.snapshots.commit(draft, tree=tree)
        record = CacheRecord(key, key, key, digest(tree), snapshot, "", size_of(tree), now())
        store.cache.put(record)
        return record


def by_inode(draft: "Draft", digests: dict[str, bytes]) -> dict[int, bytes]:
    """sha256 by inode number of the draft's files that were hashed when they were copied. digests: by path."""
    return {os.stat(f"{draft.directory}/{path}", follow_symlinks=False).st_ino: content for path, content in digests.items()}
