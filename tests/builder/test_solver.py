"""Driving a plan: what runs, in which order, in which processes, and what a failure does to the rest."""

import os
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from builder.errors import BuildError, StepFailed
from builder.graph import Edge, Graph, RunOp, SourceScratch, Vertex
from builder.plan import begin
from builder.progress import Event, StepCached, StepDone, StepLog, StepStarted
from builder.solver import Solved, solve
from builder.worker import Forked, Inline, WorkerBug
from store.cache import CacheRecord
from store.digest import Digest, digest_of
from tests.builder.conftest import Builds
from tests.fakes import RecordingExecutor

if TYPE_CHECKING:
    from builder.worker import Send

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


# ---------------------------------------------------------------- steps that are run before their keys are known
CHAIN = {"a": ("base",), "b": ("a",), "c": ("b",)}


def shown(events: list[Event]) -> list[str]:
    return [f"{type(e).__name__} {e.label}" for e in events if isinstance(e, StepStarted | StepDone | StepCached)]


def test_a_step_runs_ahead_of_its_key_and_nobody_sees_it() -> None:
    executor, events = RecordingExecutor(ahead=True), list[Event]()
    solved = build(graph(**CHAIN), executor, Inline(), events)
    assert executor.begun_ahead == ["b", "c"] and executor.abandoned == []
    assert shown(events) == [f"{what} {label}" for label in "abc" for what in ("StepStarted", "StepDone")]
    assert [e.data for e in events if isinstance(e, StepLog)] == [b"a\n", b"b\n", b"c\n"]
    assert len(solved.chains[3]) == 3 and len(executor.records) == 3


def test_a_step_with_two_inputs_waits_for_the_other_one() -> None:
    executor = RecordingExecutor(ahead=True)
    build(graph(**DIAMOND), executor, Inline(), [])
    assert executor.begun_ahead == ["b", "c"] and sorted(executor.ran) == ["a", "b", "c", "d"]


def test_a_step_that_was_run_ahead_is_dropped_for_a_hit() -> None:
    executor = RecordingExecutor({"a": "same", "b": "also"})
    build(graph(**CHAIN), executor, Inline(), [])
    records = dict(executor.records)
    executor = RecordingExecutor({"a": "same"}, ahead=True)
    executor.records = {key: record for key, record in records.items() if record.op != digest_of(b"a")}
    events: list[Event] = []
    build(graph(**CHAIN), executor, Inline(), events)
    assert executor.begun_ahead == ["b"] and executor.abandoned == ["b"]
    assert shown(events) == ["StepStarted a", "StepDone a", "StepCached b", "StepCached c"]
    assert [e.data for e in events if isinstance(e, StepLog)] == [b"a\n"]


def test_a_step_that_was_run_ahead_is_begun_again_if_somebody_else_runs_it() -> None:
    executor, events = RecordingExecutor(ahead=True, foreign=("b",)), list[Event]()
    build(graph(**CHAIN), executor, Inline(), events)
    assert executor.abandoned == ["b"] and executor.ran == ["a", "b", "b", "c"]
    assert shown(events) == [f"{what} {label}" for label in "abc" for what in ("StepStarted", "StepDone")]


def test_failure_of_a_step_that_was_run_ahead_comes_after_its_parents_end() -> None:
    executor, events = RecordingExecutor(fails={"b": StepFailed("exit", exit_status=3)}, ahead=True), list[Event]()
    with pytest.raises(StepFailed) as caught:
        build(graph(**CHAIN), executor, Inline(), events)
    assert caught.value.label == "b" and shown(events)[:3] == ["StepStarted a", "StepDone a", "StepStarted b"]
    assert [record.op for record in executor.records.values()] == [digest_of(b"a")]


def test_a_draft_is_in_use_until_what_was_begun_over_it_has_ended() -> None:
    executor = RecordingExecutor(ahead=True)
    build(graph(a=("base",), b=("a",)), executor, Inline(), [])
    assert {"draft-a"} in executor.used and executor.used[-1] == set()


def test_jobs_bounds_what_is_run_ahead() -> None:
    executor, g = RecordingExecutor(ahead=True), graph(a=("base",), b=("a",), c=("a",), d=("a",), e=("b", "c", "d"))

    def found(vertex: int, key: Digest) -> CacheRecord | None:
        return executor.records.get(key)

    solve(begin(g, {0: BASE}, found, content), {0: ()}, executor, Inline(), found, content, lambda event: None, jobs=2)
    assert executor.begun_ahead == ["b", "c"]


def test_cancelled_work_says_nothing_more() -> None:
    workers = Forked()
    workers.order("a", _pid_of, 50)
    workers.order("b", _pid_of, 1)
    workers.cancel("a")
    workers.cancel("nobody's")
    assert [token for token, _, _ in workers.wait()] == ["b"] and workers.running() == 0
    workers.close()


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


def _pid_of(order: int, send: "Send") -> int:
    if order < 0:
        raise BuildError("asked to")
    if order > 100:
        os.kill(os.getpid(), 9)
    return os.getpid()


def _answer(workers: Forked) -> tuple[str, object]:
    [(_, kind, payload)] = workers.wait()
    return kind, payload


def test_orders_are_carried_out_by_one_worker_while_it_lives() -> None:
    workers = Forked()
    pids = []
    for number in range(3):
        workers.order(number, _pid_of, number)
        assert workers.running() == 1
        pids.append(_answer(workers))
        assert workers.running() == 0
    assert len(set(pids)) == 1 and pids[0] != ("done", os.getpid())
    workers.order(0, _pid_of, -1)
    assert _answer(workers)[0] == "failed"                # and the worker lives on
    workers.order(0, _pid_of, 1)
    assert _answer(workers) == pids[0]
    workers.order(0, _pid_of, 101)
    kind, payload = _answer(workers)
    assert kind == "failed" and "killed by signal 9" in str(payload)
    workers.order(0, _pid_of, 1)
    assert _answer(workers) != pids[0]
    workers.close()


def test_two_orders_at_once_have_two_workers_and_close_waits_for_them(tmp_path: Path) -> None:
    left = tmp_path / "left"
    left.write_text("")

    def leave() -> None:
        with open(left, "a") as file:
            file.write("x")

    workers = Forked(leave=leave)
    workers.order("a", _pid_of, 1)
    workers.order("b", _pid_of, 2)
    assert workers.running() == 2
    answers = []
    while workers.running():
        answers += workers.wait()
    assert {token for token, _, _ in answers} == {"a", "b"} and len({pid for _, _, pid in answers}) == 2
    workers.close()
    assert left.read_text() == "xx"


@pytest.mark.userns
def test_a_worker_does_not_hold_locks_that_its_parent_lets_go_of(as_root: Builds) -> None:
    """Two builds of the same steps: the second goes on as soon as the first has a step, not only when it ends."""
    dockerfile = "FROM busybox\nRUN sleep 0.2; echo one > /1\nRUN echo two > /2\nRUN sleep 8\n"
    (as_root.context / "Dockerfile").write_text(dockerfile)
    first = subprocess.Popen(as_root.tool.argv("pybuild", "--progress=plain", str(as_root.context)), env=as_root.tool.env, stderr=subprocess.PIPE)
    try:
        (as_root.context / "Dockerfile2").write_text(dockerfile.replace("RUN sleep 8", "RUN echo other"))
        as_root.tool.pybuild("-f", str(as_root.context / "Dockerfile2"), str(as_root.context))
        assert first.poll() is None
    finally:
        first.communicate()
