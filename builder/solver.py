"""Drive a plan to its end with an executor: start what is ready, take in results, plan on. Decides nothing that plan.py can decide.

What enters: a Plan, the chains of its sources, an Executor, Workers. What leaves: the chain of layers of every finished vertex.

A step whose process has ended is looked at (its files read, digested, recorded) while the next one runs already: over its draft, before its key is
known, if no record can make that run needless (`Executor.order_ahead`). Nobody hears of it before it has its key.
"""

import time

from builder.errors import Cancelled, LayersLost, StepFailed
from builder.graph import MergeOp
from builder.plan import DONE, READY, WAITING, Plan, Step, advance
from builder.progress import StepCached, StepDone, StepLog, StepNote, StepStarted
from builder.worker import failure
from kernel.value import Value
from store.digest import Digest

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping
    from typing import Any, Protocol, TypeAlias

    from builder.graph import Vertex
    from builder.plan import Content, Lookup
    from builder.progress import OnEvent
    from builder.worker import Send, Workers
    from store.cache import CacheRecord

    class Executor(Protocol):
        """Makes layers. `execute` and `diff_id` are called in a worker, the others where the plan is: there, and only there, is the index warm."""

        def begin(self, step: Step, inputs: "tuple[Chain, ...]") -> CacheRecord | None:
            """About to run the step, or to make it one that was begun ahead: its lock is taken, if nobody has it. A record that is there by now
            makes running needless."""

        def owns(self, step: Step) -> bool:
            """Whether nobody else runs the step, now that it has begun."""

        def order(self, step: Step, inputs: "tuple[Chain, ...]") -> "Any | None":
            """What `begin` has found out, as marshal takes it, for a worker that was forked before; None: only one that is forked now can run it."""

        def order_ahead(self, step: Step, inputs: "tuple[Chain, ...]") -> "Any | None":
            """As `order`, for a step that has no key yet: the last layer of its first input is a draft. None if it has to wait for its key."""

        def abandon(self, step: Step) -> None:
            """Undo `order_ahead`: the worker is gone, and the step may be begun anew."""

        def execute(self, step: Step, inputs: "tuple[Chain, ...]", send: Send, order: "Any | None" = None) -> "dict[str, Any]":
            """Run the step. What it found, as `finish` takes it through a pipe; "why" says so if another process had run it.

            Sends "ran", with the name of its draft, when others may be mounted over that."""

        def finish(self, step: Step, inputs: "tuple[Chain, ...]", made: "dict[str, Any]") -> "BuiltLayer":
            """Commit what `execute` made."""

        def keep(self, used: "Collection[str]") -> None:
            """Record what was finished since, and let go of the locks. used: drafts that somebody is mounted over."""

        def merge(self, step: Step, inputs: "tuple[Chain, ...]") -> "BuiltLayer":
            """The layer of a MergeOp: no work."""

        def diff_id(self, layer: "BuiltLayer", send: Send) -> Digest:
            """Diff ID of a layer that has none yet."""

        def keep_diff_id(self, layer: "BuiltLayer", found: Digest) -> None:
            """Record it."""


class BuiltLayer(Value):
    """One layer as the builder handles it. diff_id "": not computed yet."""

    result: Digest               # of the chain that ends with this layer
    tree: "Digest | str"
    snapshot: str
    diff_id: "Digest | str" = ""
    created: str = ""            # RFC 3339
    key: "Digest | str" = ""
    size: int = 0                # bytes of the files in it


def layer_of(record: "CacheRecord") -> BuiltLayer:
    return BuiltLayer(record.result, record.tree, record.snapshot, record.diff_id, record.created, record.key, record.size)


Chain: "TypeAlias" = "tuple[BuiltLayer, ...]"           # bottom first
if TYPE_CHECKING:
    OnLayer: TypeAlias = Callable[[int, BuiltLayer], None]


def _tuples(chains: "tuple[Chain, ...]") -> "tuple[Any, ...]":
    """Chains as marshal takes them."""
    return tuple(tuple(tuple(layer) for layer in chain) for chain in chains)


class Solved(Value):
    """cached: how many of the steps that people are shown did not have to run, here."""

    plan: Plan
    chains: "Mapping[int, Chain]"
    cached: int = 0


def solve(plan: Plan, chains: "dict[int, Chain]", executor: "Executor", workers: "Workers", lookup: "Lookup", content: "Content",
          on_event: "OnEvent", jobs: int = 4, on_layer: "OnLayer | None" = None) -> Solved:
    """Run what is not cached until the target is there; raises the first failure after the others are stopped.

    chains: of the source vertices; the others' are put into it as they finish. jobs: how many steps run at once. on_layer: told once of each
    vertex's layer, when its diff ID is known.
    Law: a finished step is never run again, also across two processes.
    """
    run = _Run(plan, chains, executor, workers, on_event, on_layer)
    try:
        run.note_cached()
        while not run.plan.is_done() or workers.running():
            done = run.start(jobs)
            run.keep()                                  # after the next ones have begun: nobody waits for it
            if not done:
                if not workers.running():
                    raise AssertionError("the plan is stuck: no step is ready and none runs")
                for token, kind, payload in workers.wait():
                    result = run.take(token, kind, payload)
                    if result is not None:
                        done.append((token[1], result))
            for vertex, result in done:
                run.plan = advance(run.plan, vertex, result, lookup, content)
                run.note_cached()
        run.keep()
    except BaseException:
        workers.stop()
        run.keep()
        run.cancel()
        raise
    return Solved(run.plan, run.chains, run.cached)


class _Early:
    """A step that runs before its key is known. over: the draft that it is mounted over; said: its worker's messages so far."""

    __slots__ = ("busy", "over", "said", "since")

    def __init__(self, over: str) -> None:
        self.over = over
        self.since = time.monotonic()
        self.said: "list[tuple[str, Any]]" = []
        self.busy = True                                # its process has not ended


class _Run:
    """The state of one solve: what runs, what is known. Tokens: ("step", vertex) and ("diff", vertex)."""

    def __init__(self, plan: Plan, chains: "dict[int, Chain]", executor: "Executor", workers: "Workers", on_event: "OnEvent",
                 on_layer: "OnLayer | None") -> None:
        self.plan = plan
        self.chains = chains
        self._executor = executor
        self._workers = workers
        self._on_event = on_event
        self._on_layer = on_layer or (lambda index, layer: None)
        self.cached = 0
        self._started: dict[int, float] = {}
        self._seen = {i for i, step in enumerate(plan.steps) if step.state == DONE and step.hit is None}      # sources, and what was added
        self._hashing: set[str] = set()                 # snapshots whose diff ID is being computed
        self._early: dict[int, _Early] = {}
        self._ran: dict[int, str] = {}                  # drafts of the steps that are being looked at
        self._fresh: list[int] = []                     # those of them that nothing was begun over so far
        self._over: dict[int, str] = {}                 # which draft the process of a step is mounted over
        self._after: dict[int, list[int]] = {}          # vertex -> those that lie on it
        for index, step in enumerate(plan.steps):
            if step.vertex.inputs:
                self._after.setdefault(step.vertex.inputs[0].vertex, []).append(index)

    def start(self, jobs: int) -> "list[tuple[int, Digest]]":
        """Start what is ready; (vertex, result) of what turned out to need no worker."""
        done: list[tuple[int, Digest]] = []
        running = sum(1 for i in self._started if self.plan.steps[i].state == READY and i not in self._ran)
        running += sum(1 for early in self._early.values() if early.busy)
        for index in self.plan.ready():
            if index in self._started:
                continue
            step, inputs = self.plan.steps[index], self._inputs(index)
            if isinstance(step.vertex.op, MergeOp):
                layer = self._executor.merge(step, inputs)
                self._add(index, layer)
                done.append((index, layer.result))
            elif index in self._early or running < jobs:
                record = self._executor.begin(step, inputs)
                if index in self._early and record is None and self._executor.owns(step):
                    done += self._adopt(index)
                    continue
                self._drop(index)                       # it was run ahead, but somebody else was first
                if record is not None:
                    self._add(index, layer_of(record))
                    self._say_cached(step.vertex, "built by another process")
                    done.append((index, record.result))
                else:
                    self._start(index, step, inputs)
                    running += 1
        while self._fresh and running < jobs:
            running += self._start_early(self._fresh.pop(), jobs - running)
        return done

    def _start_early(self, below: int, room: int) -> int:
        """Start at most `room` steps over the draft of `below`; how many it were."""
        draft, count = self._ran.get(below, ""), 0
        for index in self._after.get(below, ()) if draft else ():
            step = self.plan.steps[index]
            if count < room and step.state == WAITING and index not in self._early and self._is_last_wait(step):
                others = self._inputs(index)[1:]
                chain = (*self._inputs(below)[0], BuiltLayer(Digest(""), "", draft))
                order = self._executor.order_ahead(step, (chain, *others))
                if order is not None:
                    self._early[index], self._over[index] = _Early(draft), draft
                    self._workers.order(("step", index), self._perform, (index, None, _tuples((chain, *others)), order))
                    count += 1
        return count

    def _is_last_wait(self, step: Step) -> bool:
        """Whether all but the first input are there."""
        return all(self.plan.steps[edge.vertex].state == DONE for edge in step.vertex.inputs[1:])

    def _adopt(self, index: int) -> "list[tuple[int, Digest]]":
        """A step that was run ahead has its key: it is as if it had been started with it. (vertex, result) if it has ended."""
        early, vertex = self._early.pop(index), self.plan.steps[index].vertex
        self._started[index] = early.since
        if vertex.number:
            self._on_event(StepStarted(vertex.number, vertex.label))
        results = (self.take(("step", index), kind, payload) for kind, payload in early.said)
        return [(index, result) for result in results if result is not None]

    def _drop(self, index: int) -> None:
        """Stop a step that was run ahead, if it was: nobody has heard of it."""
        if self._early.pop(index, None) is not None:
            self._workers.cancel(("step", index))
            self._over.pop(index)
            self._executor.abandon(self.plan.steps[index])

    def keep(self) -> None:
        self._executor.keep(set(self._over.values()))

    def _inputs(self, index: int) -> "tuple[Chain, ...]":
        return tuple(self.chains.get(e.vertex, ()) for e in self.plan.steps[index].vertex.inputs)

    def _start(self, index: int, step: Step, inputs: "tuple[Chain, ...]") -> None:
        self._started[index] = time.monotonic()
        if step.vertex.number:
            self._on_event(StepStarted(step.vertex.number, step.vertex.label))
        executor = self._executor
        order = executor.order(step, inputs)
        if order is None:
            self._workers.start(("step", index), lambda send: executor.execute(step, inputs, send))
        else:
            self._workers.order(("step", index), self._perform, (index, step.key, _tuples(inputs), order))

    def _perform(self, work: "tuple[Any, ...]", send: "Send") -> "dict[str, Any]":
        """Run a step in a worker that may have been forked for an earlier one: of the plan, only what never changes is looked at."""
        index, key, chains, order = work
        inputs = tuple(tuple(BuiltLayer(*layer) for layer in chain) for chain in chains)
        return self._executor.execute(self.plan.steps[index]._replace(key=key), inputs, send, order)

    def take(self, token: "tuple[str, int]", kind: str, payload: "Any") -> Digest | None:
        """Take in a worker's message; the result if it ended a step well."""
        what, index = token
        early = self._early.get(index) if what == "step" else None
        if kind in ("ran", "done", "failed") and what == "step":
            self._over.pop(index, None)
            if early is not None:
                early.busy = False
        if early is not None:
            early.said.append((kind, payload))
            return None
        step = self.plan.steps[index]
        number = step.vertex.number
        if kind == "log":
            self._on_event(StepLog(number, payload[0], payload[1]))
        elif kind == "note":
            self._on_event(StepNote(number, payload))
        elif kind == "ran":
            self._ran[index] = payload
            self._fresh.append(index)
        elif kind == "failed":
            error = failure(payload)
            if isinstance(error, LayersLost):
                raise error                             # no failure of the step: it is planned anew
            if what == "step":
                self._on_event(StepDone(number, step.vertex.label, self._seconds(index), str(error)))
                del self._started[index]
            if isinstance(error, StepFailed):
                error.label, error.vertex = step.vertex.label, index
                raise error.at(step.vertex.span, step.vertex.source)
            raise error
        elif what == "diff":
            self._hashed(index, payload)
        else:
            layer = self._executor.finish(step, self._inputs(index), payload)
            self._ran.pop(index, None)
            self._finish(index, layer, payload.get("why", ""))
            return layer.result
        return None

    def _finish(self, index: int, layer: BuiltLayer, why: str) -> None:
        vertex = self.plan.steps[index].vertex
        self._add(index, layer)
        if why:
            self._say_cached(vertex, why)
        elif vertex.number:
            self._on_event(StepDone(vertex.number, vertex.label, self._seconds(index)))

    def _say_cached(self, vertex: "Vertex", why: str = "") -> None:
        if vertex.number:
            self.cached += bool(vertex.inputs)           # what is fetched is no step
            self._on_event(StepCached(vertex.number, vertex.label, why))

    def note_cached(self) -> None:
        """Give every step that the last planning found in the cache its chain, and say so."""
        for index, step in enumerate(self.plan.steps):
            if step.state == DONE and index not in self._seen:
                assert step.hit is not None, "a step is done without a record"
                self._drop(index)
                self._add(index, layer_of(step.hit))
                self._say_cached(step.vertex)

    def _add(self, index: int, layer: BuiltLayer) -> None:
        self._seen.add(index)
        inputs = self.plan.steps[index].vertex.inputs
        self.chains[index] = (*(self.chains[inputs[0].vertex] if inputs else ()), layer)
        if not layer.diff_id and inputs and layer.snapshot not in self._hashing:
            self._hashing.add(layer.snapshot)
            executor = self._executor
            self._workers.start(("diff", index), lambda send: executor.diff_id(layer, send))
        if layer.diff_id:
            self._on_layer(index, layer)

    def _hashed(self, index: int, diff_id: str) -> None:
        """The diff ID of a layer is known: put it into every chain that has the layer."""
        layer = self.chains[index][-1]
        snapshot = layer.snapshot
        self._executor.keep_diff_id(layer, Digest(diff_id))
        self._hashing.discard(snapshot)
        for vertex, chain in self.chains.items():
            if any(layer.snapshot == snapshot and not layer.diff_id for layer in chain):
                self.chains[vertex] = chain = tuple(x._replace(diff_id=diff_id) if x.snapshot == snapshot else x for x in chain)
                if chain[-1].snapshot == snapshot and vertex in self._seen:
                    self._on_layer(vertex, chain[-1])

    def _seconds(self, index: int) -> float:
        return time.monotonic() - self._started[index]

    def cancel(self) -> None:
        """Say of what was still running that it was stopped."""
        for index, began in self._started.items():
            step = self.plan.steps[index]
            if step.state == READY:
                self._on_event(StepDone(step.vertex.number, step.vertex.label, time.monotonic() - began, str(Cancelled())))
