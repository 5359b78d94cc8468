"""What the edges of a graph select: content digests, and the manifests that they are digests of. In: edges, and the chains that are known so far."""

from builder.cachekey import image_result
from builder.graph import SourceLocal, SourceTree
from builder.layerfiles import LayerFiles
from builder.progress import Note
from builder.remote.fetch import is_remote, title
from builder.selection import Manifest, manifest, take
from kernel.value import plain
from store.digest import Digest, digest_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from builder.cache.travel import Travel
    from builder.contexts import Contexts
    from builder.graph import Edge, Graph, Op
    from builder.progress import OnEvent
    from builder.solver import Chain
    from store.store import Store


class Contents:
    """For one build. chains: of the vertices that are done, which grows; graph: of all of them, set as soon as there is one."""

    def __init__(self, store: "Store", contexts: "Contexts", chains: "Mapping[int, Chain]", travel: "Travel", on_event: "OnEvent") -> None:
        self.graph: Graph | None = None
        self._store, self._contexts, self._chains, self._travel, self._on_event = store, contexts, chains, travel, on_event
        self._found: dict[Edge, Digest] = {}
        self._manifests: dict[Digest, Manifest] = {}

    def __call__(self, edge: "Edge") -> Digest:
        """Digest of the files that an edge selects."""
        found = self._found.get(edge)
        if found is None:
            found = self._found[edge] = self._digest(edge)
        return found

    def forget_results(self) -> None:
        """It is planned anew: only what lies in directories of this machine is as it was."""
        self._found = {edge: digest for edge, digest in self._found.items() if isinstance(self.source_of(edge), SourceLocal)}

    def source_of(self, edge: "Edge") -> "Op":
        assert self.graph is not None
        return self.graph.vertices[edge.vertex].op

    def manifest(self, digest: Digest) -> Manifest | None:
        """What was seen under a content digest, by this build."""
        return self._manifests.get(digest)

    def load(self, digest: str) -> bytes | None:
        """A manifest or a directory of one: of this build, or kept by an earlier one, or of an imported cache."""
        found = self._manifests.get(Digest(digest))
        if found is not None:
            return found.top
        for seen in self._manifests.values():
            data = seen.rows.get(bytes.fromhex(digest.removeprefix("sha256:")))
            if data is not None:
                return data
        here = self._store.cache.kept(Digest(digest))
        if here is None and self._travel.imported is not None:
            return self._travel.imported.history().kept.get(Digest(digest))
        return here

    def memo(self, edge: "Edge") -> Digest:
        """Name of what is remembered of a selection of files in a result."""
        chain = self._chains[edge.vertex]
        result = chain[-1].result if chain else image_result(())
        return digest_of(b"content " + result.encode() + repr(plain(edge.selector)).encode())

    def _digest(self, edge: "Edge") -> Digest:
        assert edge.selector is not None
        source = self.source_of(edge)
        if isinstance(source, SourceLocal):
            files = self._contexts(source.name)
            return self._note(manifest(files, take(files, edge.selector), edge.selector))
        chain = self._chains[edge.vertex]
        memo = self.memo(edge)
        known = self._store.cache.get_build(memo)
        if known is not None:
            return Digest(known.decode())
        elsewhere = self._travel.imported.memo(memo) if self._travel.imported is not None else None
        if elsewhere is not None:
            return elsewhere
        from builder.filesteps import as_layers

        if not all(layer.snapshot for layer in chain):
            from builder.cache.bring import bring

            chain = bring(self._store, chain, self._travel.imported, lambda text: self._on_event(Note("info", text)))
        layers = LayerFiles(self._store.view(as_layers(chain)), self._where(edge))
        try:
            digest = self._note(manifest(layers, take(layers, edge.selector), edge.selector))
        finally:
            layers.close()
        self._store.cache.put_build(memo, digest.encode())
        return digest

    def _note(self, found: Manifest) -> Digest:
        self._manifests[found.digest] = found
        return found.digest

    def _where(self, edge: "Edge") -> str:
        """What an edge takes from, for messages."""
        assert self.graph is not None
        vertex = self.graph.vertices[edge.vertex]
        if is_remote(vertex.op):
            return f"`{title(vertex.op)}`"
        if isinstance(vertex.op, SourceTree):
            return vertex.op.name
        name = getattr(vertex.op, "name", "")
        return f"image `{name}`" if name else f"the stage that ends with `{vertex.label}`" if vertex.label else "the stage"
