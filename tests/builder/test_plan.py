from hypothesis import given, settings
from hypothesis import strategies as st

from builder.cachekey import cache_key, canonical
from builder.graph import CopyOp, Edge, Graph, Pick, RunHow, RunOp, Selector, SourceLocal, SourceScratch, Vertex
from builder.plan import DONE, READY, WAITING, Plan, advance, begin
from store.cache import CacheRecord
from store.digest import Digest, digest_of

BASE = digest_of(b"base")


def run(text: str, *inputs: int) -> Vertex:
    return Vertex(RunOp((text,), (), "/", ""), tuple(Edge(i) for i in inputs), text)


def chain(*texts: str) -> Graph:
    return Graph((Vertex(SourceScratch("linux/amd64"), ()), *(run(t, i) for i, t in enumerate(texts))), len(texts))


def nothing(vertex: int, key: Digest) -> None:
    return None


def content(edge: Edge) -> Digest:
    return digest_of(repr(edge.selector).encode())


def states(plan: Plan) -> list[str]:
    return [step.state for step in plan.steps]


def test_begin_knows_the_key_of_the_first_step_only() -> None:
    plan = begin(chain("a", "b"), {0: BASE}, nothing, content)
    assert states(plan) == [DONE, READY, WAITING]
    assert plan.steps[1].key is not None and plan.steps[2].key is None


def test_advance_makes_the_next_step_ready() -> None:
    plan = advance(begin(chain("a", "b"), {0: BASE}, nothing, content), 1, digest_of(b"r1"), nothing, content)
    assert states(plan) == [DONE, DONE, READY]


def test_hits_run_through_to_the_end() -> None:
    records: dict[Digest, CacheRecord] = {}
    graph = chain("a", "b", "c")
    plan = begin(graph, {0: BASE}, nothing, content)
    for i in (1, 2, 3):
        key = plan.steps[i].key
        assert key is not None
        records[key] = CacheRecord(key, key, digest_of(key.encode()))
        plan = advance(plan, i, records[key].result, nothing, content)
    def found(vertex: int, key: Digest) -> CacheRecord | None:
        return records.get(key)

    again = begin(graph, {0: BASE}, found, content)
    assert states(again) == [DONE] * 4 and again.is_done()


def test_early_cutoff_an_identical_result_keeps_later_steps_cached() -> None:
    first = begin(chain("a", "b"), {0: BASE}, nothing, content)
    after_a = advance(first, 1, digest_of(b"same tree"), nothing, content)
    key_b = after_a.steps[2].key
    assert key_b is not None
    records = {key_b: CacheRecord(key_b, key_b, digest_of(b"rb"))}
    def found(vertex: int, key: Digest) -> CacheRecord | None:
        return records.get(key)

    edited = begin(chain("a # comment", "b"), {0: BASE}, found, content)
    assert states(edited) == [DONE, READY, WAITING]                     # the edited step must run again
    assert states(advance(edited, 1, digest_of(b"same tree"), found, content)) == [DONE, DONE, DONE]
    assert states(advance(edited, 1, digest_of(b"another"), found, content)) == [DONE, DONE, READY]


def test_no_cache_vertex_is_never_a_hit() -> None:
    graph = Graph((Vertex(SourceScratch("linux/amd64"), ()), run("a", 0)._replace(no_cache=True)), 1)
    plan = begin(graph, {0: BASE}, lambda vertex, key: CacheRecord(key, key, BASE), content)
    assert states(plan) == [DONE, READY]


def test_copy_key_depends_on_what_is_selected_not_on_the_whole_source() -> None:
    copy = Vertex(CopyOp("/x"), (Edge(0), Edge(1, Selector((Pick("a"),)))), "copy")
    graph = Graph((Vertex(SourceScratch("linux/amd64"), ()), Vertex(SourceLocal("context"), ()), copy), 2)
    keys = {begin(graph, {0: BASE, 1: digest_of(whole)}, nothing, content).steps[2].key for whole in (b"1", b"2")}
    assert len(keys) == 1
    other = begin(graph, {0: BASE, 1: BASE}, nothing, lambda edge: digest_of(b"changed")).steps[2].key
    assert other not in keys


def test_key_leaves_out_how_a_step_runs() -> None:
    op = RunOp(("x",), (), "/", "")
    assert canonical(op) == canonical(op._replace(how=RunHow(proxies=(("HTTP_PROXY", "p"),), memory=1 << 30)))
    assert canonical(op) != canonical(op._replace(network="none"))


@settings(derandomize=True, max_examples=50)
@given(st.text(), st.text(), st.lists(st.binary(max_size=4), min_size=1, max_size=3), st.data())
def test_key_law_equal_inputs_equal_keys_any_change_another(text: str, other: str, results: list[bytes], data: st.DataObject) -> None:
    def key(definition: str, inputs: list[bytes]) -> Digest:
        edges = tuple(Edge(i) for i in range(len(inputs)))
        return cache_key(RunOp((definition,), (), "/", ""), edges, tuple(digest_of(r) for r in inputs), content)

    assert key(text, results) == key(text, list(results))
    if other != text:
        assert key(other, results) != key(text, results)
    at = data.draw(st.integers(0, len(results) - 1))
    changed = [r + b"!" if i == at else r for i, r in enumerate(results)]
    assert key(text, changed) != key(text, results)
