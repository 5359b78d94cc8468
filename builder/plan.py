"""What to run, what is cached, and in which order: pure decisions over a graph. Starts nothing, reads nothing by itself.

A step's key is made from the *results* of its inputs (cachekey.py), so it is known only when they are; planning is re-entrant:
`begin` plans what can be known at once, `advance` takes in one result and plans what follows from it. Two read-only questions are asked
through functions: `lookup` (is there a record of this vertex under this key?) and `content` (the digest of the files that an edge selects).
"""

from builder.cachekey import cache_key
from builder.errors import BuildError
from kernel.value import Value
from store.digest import Digest

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import TypeAlias

    from builder.graph import Edge, Graph, Vertex
    from store.cache import CacheRecord

    Lookup: TypeAlias = Callable[[int, Digest], CacheRecord | None]
    Content: TypeAlias = Callable[[Edge], Digest]

WAITING, READY, DONE = "waiting", "ready", "done"


class Step(Value):
    """One line of a plan. state: waiting (its key is not known), ready (must run), done (`result` is known).

    hit: the record that made it done, None if it ran or is a source.
    """

    vertex: "Vertex"
    state: str = WAITING
    key: Digest | None = None
    hit: "CacheRecord | None" = None
    result: Digest | None = None


class Plan(Value):
    """Steps in the graph's order, which is topological and deterministic."""

    steps: tuple[Step, ...]
    target: int

    def ready(self) -> list[int]:
        return [i for i, step in enumerate(self.steps) if step.state == READY]

    def is_done(self) -> bool:
        return self.steps[self.target].state == DONE


def begin(graph: "Graph", sources: "Mapping[int, Digest]", lookup: "Lookup", content: "Content") -> Plan:
    """The plan at the start. sources: the results that are known from outside (base images, contexts), by vertex index."""
    steps = [Step(v, DONE, result=sources[i]) if i in sources else Step(v) for i, v in enumerate(graph.vertices)]
    return Plan(_settle(steps, lookup, content), graph.target)


def advance(plan: Plan, vertex: int, result: Digest, lookup: "Lookup", content: "Content") -> Plan:
    """The plan once `vertex` has run and yielded `result`: later steps get their keys, and are done where a record has that key."""
    steps = list(plan.steps)
    steps[vertex] = steps[vertex]._replace(state=DONE, result=result)
    return Plan(_settle(steps, lookup, content), plan.target)


def _settle(steps: list[Step], lookup: "Lookup", content: "Content") -> tuple[Step, ...]:
    for index, step in enumerate(steps):          # one pass is enough: inputs come first
        if step.state != WAITING or any(steps[e.vertex].state != DONE for e in step.vertex.inputs):
            continue
        results = tuple(steps[e.vertex].result for e in step.vertex.inputs)
        try:
            key = cache_key(step.vertex.op, step.vertex.inputs, results, content)
        except BuildError as error:               # a missing source, say: here is known which line asked for it
            raise error.at(step.vertex.span, step.vertex.source) from None
        hit = None if step.vertex.no_cache else lookup(index, key)
        steps[index] = step._replace(state=DONE if hit else READY, key=key, hit=hit, result=hit.result if hit else None)
    return tuple(steps)
