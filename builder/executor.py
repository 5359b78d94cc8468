"""Steps made real: an op and the layers below it become a layer in the store, with its record. Runs in a worker (builder.worker); what a
worker needs is imported here, before it is forked: else every worker would import it again.

Two processes that need the same step at once run it once: whoever waits for the lock on the key finds the record of the other.
"""

import os
import time
from marshal import dumps

from builder.cachekey import canonical, chain_result, parts
from builder.chaining import mountable
from builder.commits import Commits, log_name
from builder.epoch import now, stamp
from builder.errors import LayersLost, StepFailed
from builder.filesteps import FileSteps, Made
from builder.graph import CopyOp, MkdirOp, RunOp, SourceLocal
from builder.grounds import Grounds, by_inode
from builder.remote.fetch import access, fetch, is_remote
from builder.running import Surroundings, run
from builder.solver import BuiltLayer, layer_of
from kernel.locks import Lock
from store.cache import CacheRecord
from store.digest import Digest, digest_of
from store.pack import diff_id
from store.snapshots import Draft, SnapshotId
from store.store import Store
from store.tree import clamp, digest, scan, size_of, stack
from store.tree import own as given

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Collection
    from typing import Any

    from builder.cache.imported import Imported
    from builder.files import Files
    from builder.graph import Edge, Op, SourceGit, SourceHttp, Vertex
    from builder.plan import Step
    from builder.selection import Manifest
    from builder.solver import Chain
    from builder.worker import Send

_SMALL = 4 << 20                                         # bytes of a layer whose diff ID is computed at once, without another process


class SandboxExecutor:
    """The Executor of real builds.

    local: the Files of a SourceLocal; content: the content digest of an edge, manifest: what was seen under it; source_of: the op that an edge
    takes from; slot: which place in which Dockerfile a step is; missed: told of each step that has to run; fresh: no earlier layer is taken for a new
    one that is equal to it; keep_failed: the files of a RUN that fails are in `StepFailed.kept`, as `adopt` takes them; imported: where layers are
    fetched from that are hits and not here.
    """

    def __init__(self, store: Store, around: Surroundings, local: "Callable[[str], Files]", content: "Callable[[Edge], Digest]",
                 source_of: "Callable[[Edge], Op]", slot: "Callable[[Step], str]", manifest: "Callable[[Digest], Manifest | None]",
                 missed: "Callable[[Step, tuple[Chain, ...]], None]", fresh: bool, keep_failed: bool,
                 imported: "Imported | None" = None) -> None:
        self._store, self.around = store, around
        self._content, self._source_of, self._slot = content, source_of, slot
        self._manifest, self._missed, self._fresh, self._keep_failed = manifest, missed, fresh, keep_failed
        self._imported = imported
        self._locks: dict[str, Lock] = {}                # of the keys whose steps this process runs
        self._names: dict[Vertex, str] = {}              # of drafts that workers hand over, of the steps that were begun
        self._commits = Commits(store, content, manifest, self._unlock)
        self._spare: Draft | None = None                 # a draft made ahead
        self._used: Draft | None = None                  # one that was handed over, of which something is left
        self._op_digests: dict[int, Digest] = {}
        self._has_run = False                            # whether this process has run something in a sandbox
        self._pid = os.getpid()
        self._marked = store.root.owners == "xattr"      # files have one owner, and marks tell the real one
        self._files = FileSteps(store, local, source_of, self._draft, self._latest)
        self.grounds = Grounds(store, local, content, source_of, self.directories)

    # ------------------------------------------------------------ the Executor protocol
    def begin(self, step: "Step", inputs: "tuple[Chain, ...]") -> CacheRecord | None:
        assert step.key is not None
        if is_remote(step.vertex.op):
            return None                                  # what is here may not be true any more: `execute` asks
        self._check_present(inputs)
        self._missed(step, inputs)
        if step.vertex not in self._names:
            self._prepare_run(step.vertex)
        else:                                            # it runs already; now it has a key
            self._commits.name_log(self._names[step.vertex], step.key)
        if step.vertex.no_cache:
            return None
        lock = self._store.cache.lock(step.key)
        if not lock.take(wait=False):
            return None                                  # somebody runs it: `execute` waits, beside the other steps
        self._locks[step.key] = lock
        record = self._usable(step.key)                  # somebody may have finished it since it was planned
        if record is not None:
            self._unlock(step)
        return record

    def _prepare_run(self, vertex: "Vertex") -> None:
        if isinstance(vertex.op, RunOp):
            self.around.ahead()
            if self.around.network is not None and vertex.op.network == "default":
                self.around.network.prepare()
        self._names[vertex] = self._store.snapshots.new_name()

    def owns(self, step: "Step") -> bool:
        return step.vertex.no_cache or step.key in self._locks

    def order(self, step: "Step", inputs: "tuple[Chain, ...]") -> "Any | None":
        """(name of the draft, whether its key is held). Steps that take from a context need what was seen of that since."""
        return (self._names[step.vertex], step.key in self._locks) if self._is_orderly(step.vertex, inputs) else None

    def _is_orderly(self, vertex: "Vertex", inputs: "tuple[Chain, ...]") -> bool:
        known = all(layer.snapshot for chain in inputs for layer in chain)
        local = any(isinstance(self._source_of(edge), SourceLocal) for edge in vertex.inputs[1:])
        return known and not local and isinstance(vertex.op, (RunOp, MkdirOp))

    def order_ahead(self, step: "Step", inputs: "tuple[Chain, ...]") -> "Any | None":
        """Not with another machine's cache, nor where the rows of all layers below have to be known."""
        vertex = step.vertex
        if self._marked or self._imported is not None or not isinstance(vertex.op, RunOp) or not self._is_orderly(vertex, inputs):
            return None
        if not vertex.no_cache and self._store.cache.has_op(self._op_digest(step)):
            return None                                  # a record that its key may lead to
        self._prepare_run(vertex)
        return self._names[vertex], True

    def abandon(self, step: "Step") -> None:
        self._commits.forget(self._names[step.vertex])
        self._names[step.vertex] = self._store.snapshots.new_name()

    def execute(self, step: "Step", inputs: "tuple[Chain, ...]", send: "Send", order: "Any | None" = None) -> "dict[str, Any]":
        store, op = self._store, step.vertex.op
        held = step.key in self._locks
        if order is not None:
            self._names[step.vertex], held = order
        self._drop_locks()
        if is_remote(op):
            return self._fetch(op, send)
        if held or step.vertex.no_cache:
            return self._made(step, inputs, send)
        assert step.key is not None
        send("note", "waits for another build that runs the same step")
        self._names.clear()
        with store.cache.lock(step.key):
            record = self._usable(step.key)
            if record is not None:
                return {"layer": layer_of(record)._asdict(), "why": "built by another process"}
            layer = self.finish(step, inputs, self._made(step, inputs, send))
            self.keep(())                                # while the lock is held: whoever waits next must find it
            return {"layer": layer._asdict(), "why": ""}

    def _drop_locks(self) -> None:
        """In a worker: let go of its copies of the parent's locks, which would else be held as long as it lives, and of what that will record."""
        if os.getpid() != self._pid:
            self._commits.disown()
        while os.getpid() != self._pid and self._locks:
            os.close(self._locks.popitem()[1].fd)

    def prepare(self) -> None:
        """In a worker that waits for its next step: clear up after the last one, and make what any step will need."""
        self._clear_up()
        if self._spare is None:
            self._spare = self._store.snapshots.begin()
        if self._has_run:
            self.around.connect().dial()

    def _clear_up(self) -> None:
        if self._used is not None:
            self._store.snapshots.remove_work(self._used)
            self._used = None

    def leave(self) -> None:
        """Last words of a worker."""
        self._clear_up()
        if self._spare is not None:
            self._store.snapshots.discard(self._spare)
        self._store.index.close()
        self._store.leases.release()

    def _fetch(self, op: "SourceHttp | SourceGit", send: "Send") -> "dict[str, Any]":
        fetched = fetch(self._store, op, access(self._store, self.around.secrets, self.around.ssh), lambda text: send("note", text))
        return {"layer": layer_of(fetched.record)._asdict(), "why": fetched.why}

    def finish(self, step: "Step", inputs: "tuple[Chain, ...]", made: "dict[str, Any]") -> BuiltLayer:
        store = self._store
        self._names.pop(step.vertex, None)
        if "layer" in made:
            layer = BuiltLayer(**made["layer"])
            store.snapshots.hold(SnapshotId(layer.snapshot))
            return layer
        self._commits.keep()                             # one of these may be the earlier one
        draft, tree = Draft(*made["draft"]), Digest(made["tree"])
        placed: Draft | None = draft if store.snapshots.is_placed(draft) else None
        earlier = None if self._fresh else store.cache.find(self._op_digest(step), tree)
        if earlier is not None and store.snapshots.hold(SnapshotId(earlier.snapshot)):
            if placed:                                   # the earlier layer is kept, so that image IDs stay put
                self._commits.replace(placed)
                placed = None
            else:
                store.snapshots.discard(draft)
            facts = (earlier.snapshot, earlier.diff_id, earlier.size, earlier.created)
        else:
            snapshot = draft.id if placed else store.snapshots.commit(draft, below=tuple(made["below"]))
            if made["below"]:
                store.snapshots.hold(snapshot)           # alone it is ours by its name
            facts = (snapshot, made["diff_id"], made["size"], made["created"])
        record = self._record(step, inputs, tree, *facts)
        self._commits.add(step, record, placed)
        return layer_of(record)

    def keep(self, used: "Collection[str]") -> None:
        self._commits.keep()
        self._commits.clear_up(used)

    def merge(self, step: "Step", inputs: "tuple[Chain, ...]") -> BuiltLayer:
        layer = inputs[1][-1]
        if not layer.snapshot:                           # of another machine's cache, and perhaps never needed
            return layer._replace(result=chain_result(inputs[0][-1].result if inputs[0] else None, Digest(layer.tree)))
        record = self._record(step, inputs, layer.tree, layer.snapshot, layer.diff_id, layer.size, layer.created)
        self._commits.add(step, record)
        return layer_of(record)

    def diff_id(self, layer: BuiltLayer, send: "Send") -> Digest:
        snapshots = self._store.snapshots
        self._drop_locks()
        return diff_id(snapshots.tree(SnapshotId(layer.snapshot)), snapshots.directories(SnapshotId(layer.snapshot)))

    def adopt(self, kept: "dict[str, Any]") -> BuiltLayer:
        """The files of a failed step as a layer, which no record leads to."""
        snapshots = self._store.snapshots
        draft = Draft(*kept["draft"])
        snapshot = snapshots.commit(draft)
        snapshots.hold(snapshot)
        layer = BuiltLayer(Digest(kept["tree"]), kept["tree"], snapshot, kept["diff_id"], kept["created"], "", kept["size"])
        return self.complete((layer,))[0]

    def complete(self, chain: "Chain") -> "Chain":
        """The chain with every diff ID: those that a failure left unknown are computed now."""
        snapshots = self._store.snapshots
        return tuple(layer if layer.diff_id else layer._replace(
            diff_id=diff_id(snapshots.tree(SnapshotId(layer.snapshot)), snapshots.directories(SnapshotId(layer.snapshot)))) for layer in chain)

    def close(self) -> None:
        """Let go of the keys of steps that did not end well, and of what they made."""
        while self._locks:
            self._locks.popitem()[1].release(remove=True)
        self._commits.close(self._names.values())
        self._names.clear()

    def keep_diff_id(self, layer: BuiltLayer, found: Digest) -> None:
        if layer.key:
            self._store.cache.set_diff_id(Digest(layer.key), found)

    # ------------------------------------------------------------ one step
    def _usable(self, key: Digest) -> CacheRecord | None:
        record = self._store.cache.get(key)
        return record if record is not None and self._store.snapshots.hold(SnapshotId(record.snapshot)) else None

    def _unlock(self, step: "Step") -> None:
        lock = self._locks.pop(step.key or "", None)
        if lock is not None:
            lock.release(remove=True)

    def _made(self, step: "Step", inputs: "tuple[Chain, ...]", send: "Send") -> "dict[str, Any]":
        """Run the step, as often as it says; what `finish` takes."""
        op = step.vertex.op
        inputs = tuple(self.present(chain, lambda text: send("note", text)) for chain in inputs)
        left = op.how.retries if isinstance(op, RunOp) else 0
        while True:
            try:
                made, name = self._make(step, inputs, send, keep=self._keep_failed and not left), self._names.get(step.vertex, "")
                if name and isinstance(op, RunOp):       # what comes next may begin, while this is looked at
                    self._used, made = made.draft, made._replace(draft=self._store.snapshots.place(made.draft, name))
                    send("ran", name)
                return self._facts(made, name, getattr(op, "epoch", None))
            except StepFailed as error:
                if not left:
                    raise
                assert isinstance(op, RunOp)
                send("note", f"{error}; trying again ({left} left)")
                time.sleep(op.how.retry_delay / 1e9)
                left -= 1

    def _make(self, step: "Step", inputs: "tuple[Chain, ...]", send: "Send", keep: bool) -> Made:
        """keep: a RUN that fails leaves its files in the error."""
        store, op = self._store, step.vertex.op
        if isinstance(op, CopyOp) and not step.vertex.no_cache:
            changed = self._files.changed(op, step, inputs)
            if changed is not None:
                return changed
        draft = self._draft(inputs[0])
        try:
            if isinstance(op, RunOp):
                return Made(draft, {}, owners=self._run(op, step, inputs, draft, send))
            if isinstance(op, CopyOp):
                digests, owners = self._files.copy(op, step, inputs, draft)
                return Made(draft, digests, owners=owners)
            assert isinstance(op, MkdirOp), f"no step: {op!r}"
            self._files.make_directory(op, inputs[0], draft)
            return Made(draft, {})
        except BaseException as error:
            if keep and isinstance(error, StepFailed) and isinstance(op, RunOp):
                error.kept = self._facts(Made(draft, {}), self._names.get(step.vertex, ""), None)
            else:
                store.snapshots.discard(draft)
            raise

    def _draft(self, parent: "Chain") -> Draft:
        below = self.directories(parent)
        draft, self._spare = self._spare or self._store.snapshots.begin(), None
        if below:
            self._store.snapshots.resemble(draft, below[0])
        return draft

    def _facts(self, made: Made, name: str, epoch: int | None) -> "dict[str, Any]":
        """What is known of a draft once it is whole. name: under which it outlives this worker; epoch: no file of it is younger."""
        snapshots = self._store.snapshots
        own = tree = given(scan(made.draft.directory, owners=self._store.root.owners, known=by_inode(made.draft, made.digests)), dict(made.owners))
        if epoch is not None:
            own = tree = clamp(own, epoch)
        for part in made.below:
            tree = stack(tree, snapshots.tree(part))
        size = size_of(tree)
        found = diff_id(tree, (made.draft.directory,)) if size < _SMALL and not made.below else ""
        draft = made.draft
        if snapshots.is_placed(draft):
            snapshots.add_tree(draft, own)
        else:
            self._used, draft = draft, snapshots.hand_over(draft, own, name or draft.id)
        return {"draft": tuple(draft), "tree": digest(tree), "size": size, "diff_id": found, "created": now() if epoch is None else stamp(epoch),
                "below": made.below}

    def _record(self, step: "Step", inputs: "tuple[Chain, ...]", tree: "Digest | str", snapshot: str, diff_id: "Digest | str", size: int,
                created: str) -> CacheRecord:
        assert step.key is not None
        results = tuple(chain[-1].result if chain else None for chain in inputs)
        return CacheRecord(step.key, self._op_digest(step), chain_result(results[0], Digest(tree)), tree, snapshot, diff_id, size, created,
                           self._slot(step), dumps(self._parts(step, results), 2))

    def _op_digest(self, step: "Step") -> Digest:
        op = step.vertex.op
        found = self._op_digests.get(id(op))             # the graph keeps the op
        if found is None:
            found = self._op_digests[id(op)] = digest_of(dumps(canonical(op), 2))
        return found

    def _parts(self, step: "Step", results: "tuple[Digest | None, ...]") -> "Any":
        return parts(step.vertex.op, step.vertex.inputs, results, self._content)

    def _latest(self, step: "Step") -> CacheRecord | None:
        found = self._store.cache.latest(self._slot(step))
        return found if found is not None and found.op == self._op_digest(step) else None

    # ------------------------------------------------------------ RUN
    def _run(self, op: RunOp, step: "Step", inputs: "tuple[Chain, ...]", draft: Draft, send: "Send") -> "tuple[tuple[str, tuple[int, int]], ...]":
        place = self.grounds.place(step.vertex, inputs, draft)
        self._has_run = True
        path = self._commits.log_path(log_name(step.key, self._names.get(step.vertex, "")))
        log = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)

        def output(stream: int, data: bytes) -> None:
            try:
                os.write(log, data)
            except OSError:
                pass                                     # the disk is full: whoever watches sees it all the same, and why
            send("log", (stream, data))

        try:
            return tuple(run(op, place, self.around, output, step.vertex.no_cache).items())
        finally:
            os.close(log)
            self.grounds.remove_scratch(draft)

    # ------------------------------------------------------------ layers
    def present(self, chain: "Chain", say: "Callable[[str], None]" = lambda text: None, base: bool = True) -> "Chain":
        """The chain with every layer here: those that another machine's cache has are fetched, and of the base image where `base`.

        Raises LayersLost, StoreError.
        """
        if all(layer.snapshot for layer in chain):
            return chain
        from builder.cache.bring import bring

        return bring(self._store, chain, self._imported, say, base)

    def _check_present(self, inputs: "tuple[Chain, ...]") -> None:
        """Raises LayersLost if a layer is neither here nor to be had: better before the step is begun."""
        absent = tuple(chain for chain in inputs if not all(layer.snapshot for layer in chain))
        if absent:
            from builder.cache.bring import lost

            gone = tuple(key for chain in absent for key in lost(chain, self._imported, self._store))
            if gone:
                raise LayersLost(gone, "the cache has no files of it")

    def directories(self, chain: "Chain") -> tuple[str, ...]:
        """What to mount of a chain, topmost first."""
        snapshots = self._store.snapshots
        parts = tuple(dict.fromkeys(part for layer in reversed(chain) for part in snapshots.stack(SnapshotId(layer.snapshot))))
        return tuple(snapshots.path(part) for part in mountable(self._store, parts))
