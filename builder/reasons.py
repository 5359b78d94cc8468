"""Why a step has to run: compared with the most similar one of an earlier build of the same Dockerfile, here or of an imported cache.

What was built last is remembered by where its Dockerfile is, whatever that said.
"""

from marshal import dumps, loads

from builder.cachekey import canonical, parts
from builder.explain import Cause, Inputs, explain, similarity
from builder.graph import SourceImage
from builder.remote.fetch import is_remote
from store.digest import Digest, digest_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from builder.cache.travel import Travel
    from builder.contents import Contents
    from builder.contexts import Contexts
    from builder.plan import Plan, Step
    from builder.request import Request
    from builder.solver import Chain
    from store.store import Store


class Reasons:
    def __init__(self, request: "Request", store: "Store", contexts: "Contexts", contents: "Contents", travel: "Travel") -> None:
        self._request, self._store, self._contexts, self._contents, self._travel = request, store, contexts, contents, travel
        tree = request.tree
        self.place = f"{tree.name if tree is not None else request.context}|{request.dockerfile}"      # which Dockerfile this is

    def __call__(self, step: "Step", inputs: "tuple[Chain, ...]") -> "tuple[Cause, ...]":
        """The causes of a miss, the most telling first."""
        vertex, graph = step.vertex, self._contents.graph
        assert graph is not None
        if is_remote(vertex.op):
            return (Cause("source", "it is asked for at every build"),)
        if vertex.no_cache:
            return (Cause("setting", "--no-cache" if self._request.no_cache else "--no-cache-filter"),)
        results = tuple(chain[-1].result if chain else None for chain in inputs)
        now = parts(vertex.op, vertex.inputs, results, self._contents)
        # an earlier step that is there still, elsewhere in the stage, is not what this one was
        others = {canonical(other.op) for other in graph.vertices if other.stage == vertex.stage and other is not vertex} - {now[1]}
        best, score, known = None, (-1, 0), False
        for stage, position, key, data in self._before():
            if data and stage == vertex.stage and key != step.key:
                known, before = True, loads(data)
                if before[1] in others:
                    continue
                near = (similarity(before, now), -abs(position - vertex.position))
                best, score = (before, near) if near > score and near[0] >= 0 else (best, score)
        if best is None and known:
            return (Cause("first", "the build before had no such step"),)
        return explain(best, now, self._known_inputs(step), self._contents.load)

    def remember(self, plan: "Plan") -> None:
        """This build is what the next one is compared with."""
        keys = {(step.vertex.stage, step.vertex.position): str(step.key) for step in plan.steps if step.key is not None}
        self._store.cache.put_build(self._last_key(), dumps(keys, 2))

    def _before(self) -> "Iterator[tuple[int, int, str, bytes]]":
        """(stage, position, key, parts) of the steps of an earlier build of this Dockerfile: the last one here, else those of imported caches."""
        data = self._store.cache.get_build(self._last_key())
        last: dict[tuple[int, int], str] = loads(data) if data is not None else {}
        if last or self._travel.imported is None:
            yield from ((stage, position, key, self._store.cache.parts(Digest(key))) for (stage, position), key in last.items())
            return
        history = self._travel.imported.history()
        for record in self._travel.imported.records():
            yield record.stage, record.position, record.key, history.parts.get(record.key, b"")

    def _last_key(self) -> Digest:
        return digest_of(dumps(("last", self.place), 2))

    def _known_inputs(self, step: "Step") -> Inputs:
        assert self._contents.graph is not None
        vertices = [self._contents.graph.vertices[edge.vertex] for edge in step.vertex.inputs]
        images = {i: v.op.name for i, v in enumerate(vertices) if isinstance(v.op, SourceImage)}
        parents = {i: v.label.partition("] ")[2] for i, v in enumerate(vertices)}
        sources = {i: tuple(p.path for p in e.selector.picks) for i, e in enumerate(step.vertex.inputs) if e.selector and not e.selector.parents}
        return Inputs(images, parents, sources, step.vertex.arguments, self._contexts.excluded_by,
                      lambda result: self._store.cache.has_result(Digest(result)))
