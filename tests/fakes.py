"""Second implementations of what the rooms take as functions and Protocols, for tests that touch no kernel."""

from collections.abc import Callable, Collection, Mapping
from typing import Any

from builder.cachekey import chain_result
from builder.plan import Step
from builder.solver import BuiltLayer, Chain
from store.cache import CacheRecord
from store.digest import Digest, digest_of


class RecordingExecutor:
    """Runs nothing; notes what it was asked to. `yields` says which tree a step makes, by label (else one made of its key).

    ahead: steps may be run before their keys are known; foreign: labels of steps that somebody else runs by the time their keys are."""

    def __init__(self, yields: Mapping[str, str] | None = None, fails: Mapping[str, Exception] | None = None, *, ahead: bool = False,
                 foreign: Collection[str] = ()) -> None:
        self.ran: list[str] = []
        self.hashed: list[str] = []
        self.records: dict[Digest, CacheRecord] = {}
        self._yields = yields or {}
        self._fails = fails or {}
        self._ahead, self._foreign = ahead, foreign
        self.begun_ahead: list[str] = []
        self.abandoned: list[str] = []
        self.used: list[set[str]] = []                   # at each `keep`
        self._finished: dict[Digest, CacheRecord] = {}

    def begin(self, step: Step, inputs: tuple[Chain, ...]) -> CacheRecord | None:
        return None

    def order(self, step: Step, inputs: tuple[Chain, ...]) -> Any:
        return step.vertex.label

    def owns(self, step: Step) -> bool:
        return step.vertex.label not in self._foreign

    def order_ahead(self, step: Step, inputs: tuple[Chain, ...]) -> Any:
        if not self._ahead:
            return None
        self.begun_ahead.append(step.vertex.label)
        return step.vertex.label

    def abandon(self, step: Step) -> None:
        self.abandoned.append(step.vertex.label)

    def execute(self, step: Step, inputs: tuple[Chain, ...], send: Callable[[str, Any], None], order: Any = None) -> dict[str, Any]:
        label = step.vertex.label
        self.ran.append(label)
        send("log", (1, f"{label}\n".encode()))
        if label in self._fails:
            raise self._fails[label]
        send("ran", f"draft-{label}")
        return {"tree": self._yields.get(label, step.key or f"ahead {label}")}

    def finish(self, step: Step, inputs: tuple[Chain, ...], made: dict[str, Any]) -> BuiltLayer:
        assert step.key is not None
        tree = digest_of(made["tree"].encode())
        parent = inputs[0][-1].result if inputs and inputs[0] else None
        layer = BuiltLayer(chain_result(parent, tree), tree, f"snapshot-{tree[7:15]}", "", "2026-01-01T00:00:00Z", step.key)
        self._finished[step.key] = CacheRecord(step.key, digest_of(step.vertex.label.encode()), layer.result, tree, layer.snapshot, created=layer.created)
        return layer

    def keep(self, used: Collection[str]) -> None:
        self.used.append(set(used))
        self.records |= self._finished
        self._finished = {}

    def merge(self, step: Step, inputs: tuple[Chain, ...]) -> BuiltLayer:
        return inputs[1][-1]

    def diff_id(self, layer: BuiltLayer, send: Callable[[str, Any], None]) -> Digest:
        self.hashed.append(layer.snapshot)
        return digest_of(b"diff" + layer.tree.encode())

    def keep_diff_id(self, layer: BuiltLayer, found: Digest) -> None:
        pass
