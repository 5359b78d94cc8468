"""What a build has to do with caches elsewhere, in one place: asked while it plans, told of layers while it runs, and of everything at its end."""

from builder.errors import BuildError
from builder.plan import DONE
from builder.progress import Note
from kernel.value import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from builder.cache.depot import Sessions
    from builder.cache.exporter import Exporter, Report
    from builder.cache.imported import Imported
    from builder.graph import Edge, Graph
    from builder.plan import Plan
    from builder.progress import OnEvent
    from builder.request import Request
    from builder.solver import BuiltLayer, Chain
    from builder.worker import Forked, Send
    from store.digest import Digest
    from store.registry.session import Session
    from store.store import Store


class Finished(Value):
    """A build that is done. content: digest of what an edge selects, memo: the name under which that is remembered; load: manifests and their
    rows, by digest, as far as they are known."""

    plan: "Plan"
    chains: "Mapping[int, Chain]"
    content: "Callable[[Edge], Digest]"
    memo: "Callable[[Edge], Digest]"
    load: "Callable[[str], bytes | None]"


class Travel:
    """For one build. What is not asked for costs nothing, not even an import."""

    def __init__(self, request: "Request", store: "Store", sessions: "Sessions | None", on_event: "OnEvent") -> None:
        self._request, self._store, self._on_event = request, store, on_event
        self._sessions: Sessions = sessions or _plain_session
        self._to = tuple(address for address in request.cache_to if address.kind != "inline")
        self._exporter: "Exporter | None" = None
        self._prefetching: "Forked | None" = None
        self.imported: "Imported | None" = None
        if request.cache_from:
            from builder.cache.imported import Imported

            self.imported = Imported(request.cache_from, self._sessions, lambda text: on_event(Note("warning", text)))

    def begin(self, graph: "Graph") -> None:
        """The build begins: what is to be sent can be sent from now on."""
        if self._to and self._exporter is None:
            from builder.cache.exporter import Exporter
            from builder.cache.records import final_vertices

            self._exporter = Exporter(self._store, self._to, self.imported, self._sessions, final_vertices(graph))

    def prefetch(self, plan: "Plan", chains: "Mapping[int, Chain]") -> None:
        """Begin to fetch what the image will need of other machines' layers, while the steps above them run. What goes wrong is noticed later."""
        index = plan.target
        while plan.steps[index].state != DONE and plan.steps[index].vertex.inputs:
            index = plan.steps[index].vertex.inputs[0].vertex
        chain = chains.get(index, ())
        if self.imported is None or plan.is_done() or all(layer.snapshot for layer in chain):
            return
        from builder.cache.bring import bring
        from builder.worker import Forked

        store, imported, base = self._store, self.imported, not self._request.leaves_layers

        def fetch(send: "Send") -> None:
            try:
                bring(store, chain, imported, lambda text: None, base)
            finally:
                store.index.close()
                store.leases.release()

        self._prefetching = Forked()
        self._prefetching.start("prefetch", fetch)

    def on_layer(self, index: int, layer: "BuiltLayer") -> None:
        if self._exporter is not None:
            self._exporter.on_layer(index, layer)

    def restore_mount(self, name: str, path: str, say: "Callable[[str], None]") -> bool:
        """Fill the empty directory with the cache mount of this name, if a cache has it. One that cannot be restored is begun empty."""
        if self.imported is None:
            return False
        from builder.cache.restore import restore_mount
        from store.errors import StoreError

        try:
            restored = restore_mount(self._store, self.imported, name, path)
        except (BuildError, StoreError, OSError) as error:
            say(f"a cache mount is not restored: {error}")
            _empty(path)
            return False
        if restored is not None:
            say(f"restored the cache mount `{restored.id}` from {restored.cache}: {restored.files} files, {restored.size / 1e6:.1f} MB")
        return restored is not None

    # ------------------------------------------------------------ what turns out not to be there
    def unreadable(self, plan: "Plan", chains: "Mapping[int, Chain]", whole: bool) -> "tuple[Digest, ...]":
        """Keys of hits whose files something needs now, and that are nowhere. whole: a finished plan's image is needed, too."""
        if self.imported is None:
            return ()
        from builder.cache.bring import lost
        from builder.graph import MergeOp

        steps = [plan.steps[index] for index in plan.ready()]
        needed = [edge.vertex for step in steps for edge in step.vertex.inputs if not isinstance(step.vertex.op, MergeOp)]
        if plan.is_done() and whole:
            needed.append(plan.target)
        return tuple(key for vertex in dict.fromkeys(needed) for key in lost(chains.get(vertex, ()), self.imported, self._store))

    def distrust(self, keys: "tuple[Digest, ...]") -> None:
        """Plan without these records from now on."""
        assert self.imported is not None, "only imported results have no files"
        self.imported.distrust(keys)

    # ------------------------------------------------------------ the end
    def inline(self, finished: Finished) -> "Callable[[bytes], bytes] | None":
        """What puts the cache into the image's config; None if nobody wants it there."""
        if not self._request.has_inline_cache:
            return None
        from builder.cache.document import Config
        from builder.cache.inline import embed
        from builder.cache.records import exported

        found = exported(finished)
        return lambda config: embed(config, Config(found.records, memos=dict(found.memos)))

    def finish(self, finished: Finished) -> None:
        """The image is there: write the caches. Raises BuildError if one could not be, and that is not to be ignored."""
        if self._exporter is None:
            return
        from builder.cache.history import pack
        from builder.cache.records import exported, history_of

        history = pack(history_of(finished)) if any(address.option("mode") == "max" for address in self._to) else b""
        failed: "Report | None" = None
        for report in self._exporter.finish(exported(finished), history):
            if not report.error:
                sent = f"{report.blobs} new blobs, {report.sent / 1e6:.1f} of {report.size / 1e6:.1f} MB sent" if report.blobs else "nothing new"
                self._on_event(Note("info", f"cache written to {report.cache}: {sent}"))
            elif report.ignored:
                self._on_event(Note("warning", f"the cache is not written: {report.error}"))
            else:
                failed = failed or report
        if failed is not None:
            raise BuildError(f"the cache is not written: {failed.error}", help="with `ignore-error=true` in --cache-to the build succeeds without it")

    def close(self) -> None:
        if self._prefetching is not None:
            self._prefetching.stop()
        if self._exporter is not None:
            self._exporter.stop()
        if self.imported is not None:
            self.imported.close()


def _empty(path: str) -> None:
    import os

    from kernel.paths import DIRECTORY, remove_tree

    fd = os.open(path, DIRECTORY)
    try:
        for name in os.listdir(fd):
            remove_tree(fd, name)
    finally:
        os.close(fd)


def _plain_session() -> "Session":
    """Registries as the configuration files have them, for callers that give no session of their own."""
    from store.config import load_config
    from store.registry.session import Session

    return Session(load_config())
