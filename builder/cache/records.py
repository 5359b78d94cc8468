"""A finished plan as records of a cache: pure. In: the plan and the chains that it ended with; out: records, memos and history to export."""

from marshal import dumps, loads

from builder.cache.document import Record
from builder.cache.history import History
from builder.cachekey import canonical, parts
from builder.graph import MergeOp, SourceLocal
from builder.plan import DONE
from builder.remote.fetch import is_remote
from kernel.value import Value
from store.digest import Digest, digest_of, from_raw

TYPE_CHECKING = False
if TYPE_CHECKING:
    from builder.cache.travel import Finished
    from builder.graph import Edge, Graph
    from builder.plan import Plan

_LABEL = 200


class Exported(Value):
    """What of a build is exported. final: diff IDs of the image's own layers; memos: name -> content digest."""

    records: tuple[Record, ...]
    memos: tuple[tuple[Digest, Digest], ...]
    final: frozenset[str]


def exported(finished: "Finished") -> Exported:
    """Records of every step that has a key and a layer. A fetched source has none: it is asked for at every build."""
    plan, records = finished.plan, []
    for index, step in enumerate(plan.steps):
        chain = finished.chains.get(index, ())
        if step.state != DONE or step.key is None or step.result is None or is_remote(step.vertex.op) or not chain or not chain[-1].diff_id:
            continue
        layer, vertex = chain[-1], step.vertex
        label = "".join(c for c in vertex.label if c.isprintable())[:_LABEL].encode(errors="replace").decode()
        op = digest_of(dumps(canonical(vertex.op), 2))
        records.append(Record(step.key, op, step.result, Digest(layer.tree), Digest(layer.diff_id), layer.size, layer.created, vertex.stage,
                              vertex.position, label))
    memos = {finished.memo(edge): finished.content(edge) for edge in _selections(plan)}
    final = frozenset(str(layer.diff_id) for layer in finished.chains[plan.target] if layer.key)
    return Exported(tuple(records), tuple(sorted(memos.items())), final)


def _selections(plan: "Plan") -> "tuple[Edge, ...]":
    """The edges whose content digests went into keys, but for those of this machine's own directories."""
    edges = dict.fromkeys(edge for step in plan.steps if step.key is not None for edge in step.vertex.inputs if edge.selector is not None)
    return tuple(edge for edge in edges if not isinstance(plan.steps[edge.vertex].vertex.op, SourceLocal))


def final_vertices(graph: "Graph") -> frozenset[int]:
    """The vertices whose layers the target's chain consists of."""
    found: set[int] = set()
    todo = [graph.target]
    while todo:
        index = todo.pop()
        vertex = graph.vertices[index]
        found.add(index)
        if isinstance(vertex.op, MergeOp):
            found.add(vertex.inputs[1].vertex)           # its layer is that vertex's own
        if vertex.inputs:
            todo.append(vertex.inputs[0].vertex)
    return frozenset(found)


def history_of(finished: "Finished") -> History:
    """What the plan's keys were made of, as far as that is known."""
    plan, content, load = finished.plan, finished.content, finished.load
    made: dict[Digest, bytes] = {}
    kept: dict[Digest, bytes] = {}
    for step in plan.steps:
        if step.key is None or is_remote(step.vertex.op):
            continue
        inputs = [finished.chains.get(edge.vertex, ()) for edge in step.vertex.inputs]
        made[step.key] = dumps(parts(step.vertex.op, step.vertex.inputs, tuple(c[-1].result if c else None for c in inputs), content), 2)
        for edge in step.vertex.inputs:
            digest = content(edge) if edge.selector is not None else None
            top = load(digest) if digest is not None and digest not in kept else None
            if digest is None or top is None:
                continue
            kept[digest] = top
            rows = {from_raw(raw): load(from_raw(raw)) for _, directories in loads(top) for _, raw in directories}
            kept.update((name, data) for name, data in rows.items() if data is not None)
    return History(made, kept)
