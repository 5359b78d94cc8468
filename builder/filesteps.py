"""COPY, ADD and WORKDIR: files of contexts, stages and images into the draft of a new layer, nothing mounted.

In: an op and the layers that its inputs are; out: what was written, as a draft. Nothing is decided here about keys or records.
"""

import os
from marshal import loads

from builder.copying import Dressing
from builder.copying import copy as place
from builder.delta import DEPTH, Earlier, TooDifferent
from builder.errors import BuildError
from builder.files import DIRECTORY
from builder.graph import CopyOp, MkdirOp, SourceLocal
from builder.layerfiles import LayerFiles
from builder.owner import owner_of_workdir, resolve_owner
from builder.selection import excluder, take
from builder.solver import layer_of
from builder.target import Target
from kernel.value import Value
from store.digest import Digest, sha256
from store.images import Layer
from store.snapshots import Draft, SnapshotId

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from builder.files import Files
    from builder.graph import Edge, Op
    from builder.plan import Step
    from builder.solver import Chain
    from store.cache import CacheRecord
    from store.store import Store
    from store.view import View


class Made(Value):
    """A draft with a step's files in it. digests: sha256 by path of files whose content is known already. below: what it is stacked on.
    owners: of links and fifos, where the file system cannot tell."""

    draft: Draft
    digests: "dict[str, bytes]"
    below: tuple[SnapshotId, ...] = ()
    owners: "tuple[tuple[str, tuple[int, int]], ...]" = ()


class FileSteps:
    """local, source_of: as SandboxExecutor has them; draft: a new one to lie on a chain; latest: what the very same op made there
    the last time."""

    def __init__(self, store: "Store", local: "Callable[[str], Files]", source_of: "Callable[[Edge], Op]", draft: "Callable[[Chain], Draft]",
                 latest: "Callable[[Step], CacheRecord | None]") -> None:
        self._store, self._local, self._source_of, self._draft, self._latest = store, local, source_of, draft, latest
        self._marked = store.root.owners == "xattr"

    def changed(self, op: CopyOp, step: "Step", inputs: "tuple[Chain, ...]") -> Made | None:
        """The copy as a few files on top of what the same step made before; None if it has to be made whole."""
        if op.unpack or op.inline:
            return None
        store = self._store
        before = self._latest(step)
        if before is None or not before.snapshot or not store.snapshots.hold(SnapshotId(before.snapshot)):
            return None
        if loads(before.parts)[2][0] != (inputs[0][-1].result if inputs[0] else None):
            return None                                  # its parent was another: what it found there may have been too
        snapshot = SnapshotId(before.snapshot)
        if len(store.snapshots.stack(snapshot)) >= DEPTH:
            return None
        earlier = Earlier(store.snapshots.tree(snapshot))
        draft = self._draft(inputs[0])
        try:
            digests, owners = self.copy(op, step, ((*inputs[0], layer_of(before)), *inputs[1:]), draft, earlier, inputs[0])
        except (TooDifferent, BuildError):               # an error, if it is one, comes again where it is made whole
            store.snapshots.discard(draft)
            return None
        return Made(draft, digests, (snapshot,), owners)

    def _remove(self, earlier: Earlier, target: Target, parent: "Chain") -> None:
        """Whiteouts for what the copy no longer has. One would also hide what lies below the copy: then there is none to be had."""
        removed = earlier.removed()
        if removed:
            with self._view(parent) as below:
                for path in removed:
                    if below.lookup(path, follow=False) is not None:
                        raise TooDifferent(path)
                    target.remove(path)

    def copy(self, op: CopyOp, step: "Step", inputs: "tuple[Chain, ...]", draft: Draft, earlier: Earlier | None = None,
             parent: "Chain" = ()) -> "tuple[dict[str, bytes], tuple[tuple[str, tuple[int, int]], ...]]":
        below = self._view(inputs[0])
        target = Target(below, draft.directory, marked=self._marked)
        digests: dict[str, bytes] = {}
        try:
            owner = resolve_owner(op.owner, below) if op.owner else None
            dressing = Dressing(owner, op.chmod)
            destination = op.destination
            for number, (edge, chain) in enumerate(zip(step.vertex.inputs[1:], inputs[1:]), 1):
                assert edge.selector is not None
                files = self._files(edge, chain)
                try:
                    taken, keep = take(files, edge.selector), excluder(edge.selector.excludes)
                    if number in op.unpack:
                        from builder.archive import copy_or_unpack

                        digests |= copy_or_unpack(files, taken, target, destination, dressing, self._store.root, below, keep)
                    else:
                        digests |= place(files, taken, target, destination, dressing, parents=op.parents, keep=keep, earlier=earlier)
                finally:
                    if isinstance(files, LayerFiles):
                        files.close()
            for text in op.inline:
                digests |= _write_text(target, destination, text.name, text.content, dressing)
            if earlier is not None:
                self._remove(earlier, target, parent)
        finally:
            target.close()
            below.close()
        return digests, tuple(target.owners.items())

    def _files(self, edge: "Edge", chain: "Chain") -> "Files":
        source = self._source_of(edge)
        if isinstance(source, SourceLocal):
            return self._local(source.name)
        return LayerFiles(self._view(chain), "the stage it is taken from")

    def make_directory(self, op: MkdirOp, below: "Chain", draft: Draft) -> None:
        view = self._view(below)
        target = Target(view, draft.directory, marked=self._marked)
        try:
            target.make_directories(target.resolve(op.path), owner=owner_of_workdir(op.user, view) if op.user else None)
        finally:
            target.close()
            view.close()

    def _view(self, chain: "Chain") -> "View":
        return self._store.view(as_layers(chain))


def as_layers(chain: "Chain") -> tuple[Layer, ...]:
    return tuple(Layer(Digest(layer.diff_id), layer.tree, SnapshotId(layer.snapshot), layer.size) for layer in chain)


def _write_text(target: Target, destination: str, name: str, content: str, dressing: Dressing) -> dict[str, bytes]:
    """A heredoc of COPY as a file of mode 0644."""
    data = content.encode(errors="surrogateescape")
    goal = target.resolve(destination)
    if destination.endswith("/") or target.kind(goal) == DIRECTORY:
        goal = f"{goal}/{name}" if goal else name
    owner = dressing.owner or (0, 0)
    target.make_directories(goal.rpartition("/")[0], owner=dressing.owner)
    directory, base = target.prepare_file(goal, 0o100000)
    fd = os.open(base, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600, dir_fd=directory)
    with open(fd, "wb") as file:
        file.write(data)
        target.give(fd, owner)
        os.fchmod(fd, dressing.chmod.apply(0o644, False) if dressing.chmod else 0o644)
    return {goal: sha256(data).digest()}
