import pytest

from builder.errors import StepFailed
from builder.graph import Edge, Graph, RunOp, SourceScratch, Vertex
from builder.plan import begin
from builder.progress import Event, StepCached, StepDone, StepLog
from builder.solver import Solved, solve
from builder.worker import Forked, Inline, WorkerBug
from store.cache import CacheRecord
from store.digest import Digest, digest_of
from tests.fakes import RecordingExecutor

BASE = digest_of(b"base")


def graph(**steps: tuple[str, ...]) -> Graph:
    """graph(a=("base",), b=("a",)): steps by label, with the labels of their inputs; the last one is the target."""
    labels = ["base", *steps]
    vertices = [Vertex(SourceScratch("linux/amd64"), ())]
    for label, inputs in steps.items():
        vertices.append(Vertex(RunOp((label,), (), "/", ""), tuple(Edge(labels.index(i)) for i in inputs), label, len(vertices)))
    return Graph(tuple(vertices), len(vertices) - 1)


def content(edge: Edge) -> Digest:
    raise AssertionError("no edge selects files here")


def build(g: Graph, executor: RecordingExecutor, workers: Forked | Inline, events: list[Event]) -> Solved:
    def found(vertex: int, key: Digest) -> CacheRecord | None:
        return executor.records.get(key)

    return solve(begin(g, {0: BASE}, found, content), {0: ()}, executor, workers, found, content, events.append)


DIAMOND = {"a": ("base",), "b": ("a",), "c": ("a",), "d": ("b", "c")}


def test_solve_runs_each_step_once_in_order() -> None:
    executor = RecordingExecutor()
    solved = build(graph(**DIAMOND), executor, Inline(), [])
    assert executor.ran == ["a", "b", "c", "d"]
    assert [len(solved.chains[i]) for i in range(5)] == [0, 1, 2, 2, 3]


def test_solve_twice_second_is_all_hits() -> None:
    executor = RecordingExecutor()
    build(graph(**DIAMOND), executor, Inline(), [])
    events: list[Event] = []
    executor.ran.clear()
    build(graph(**DIAMOND), executor, Inline(), events)
    assert executor.ran == []
    assert [e.label for e in events if isinstance(e, StepCached)] == ["a", "b", "c", "d"]


def test_solve_gives_every_layer_its_diff_id() -> None:
    executor = RecordingExecutor()
    solved = build(graph(**DIAMOND), executor, Inline(), [])
    assert all(layer.diff_id for chain in solved.chains.values() for layer in chain)
    assert len(executor.hashed) == len(set(executor.hashed)) == 4


def test_solve_failure_names_the_step_and_stops() -> None:
    executor = RecordingExecutor(fails={"b": StepFailed("exit", exit_status=3)})
    events: list[Event] = []
    with pytest.raises(StepFailed) as caught:
        build(graph(**DIAMOND), executor, Inline(), events)
    assert (caught.value.label, caught.value.exit_status) == ("b", 3)
    assert "d" not in executor.ran
    assert next(e.label for e in events if isinstance(e, StepDone) and e.error) == "b"


def test_solve_in_processes() -> None:
    executor = RecordingExecutor()
    events: list[Event] = []
    solved = build(graph(**DIAMOND), executor, Forked(), events)
    assert len(solved.chains[4]) == 3
    assert sorted(e.data for e in events if isinstance(e, StepLog)) == [b"a\n", b"b\n", b"c\n", b"d\n"]


def test_worker_bug_keeps_its_traceback() -> None:
    executor = RecordingExecutor(fails={"a": ZeroDivisionError("oh")})
    with pytest.raises(WorkerBug, match="ZeroDivisionError: oh") as caught:
        build(graph(a=("base",)), executor, Forked(), [])
    assert "in execute" in caught.value.trace


def test_worker_killed_is_a_failed_step() -> None:
    class Suicide(RecordingExecutor):
        def execute(self, *args: object) -> dict[str, object]:
            import os
            import signal
            os.kill(os.getpid(), signal.SIGKILL)
            return {}

    with pytest.raises(StepFailed, match="killed by signal 9"):
        build(graph(a=("base",)), Suicide(), Forked(), [])
