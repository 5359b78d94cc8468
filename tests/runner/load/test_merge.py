from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lang.source import Source
from runner.load.document import parse
from runner.load.merge import merge, reset
from runner.load.report import Report
from runner.load.tree import Map, Seq, clone
from tests.runner.load.folder import Folder, one


def tree(text: str) -> Any:
    return parse(Source("t", text), Report())[0].root


def merged(base: str, over: str, *path: str) -> Any:
    report = Report()
    found = merge(tree(base), tree(over), path, None, report)
    report.stop()
    return found


@pytest.mark.parametrize(("base", "over", "found"), [
    ("{a: 1, b: {c: 1}}", "{b: {d: 2}, e: 3}", {"a": 1, "b": {"c": 1, "d": 2}, "e": 3}), ("{a: [1]}", "{a: [2]}", {"a": [1, 2]}),
    ("{a: 1}", "{a: }", {"a": 1}), ("{a: }", "{a: 1}", {"a": 1}),
    ("{a: {b: 1}}", "{a: }", {"a": {"b": 1}}),
])
def test_plain_merge(base: str, over: str, found: object) -> None:
    assert merged(base, over) == found


@pytest.mark.parametrize(("key", "base", "over", "found"), [
    ("command", "[a]", "[b]", ["b"]), ("command", "a b", "[]", []), ("entrypoint", "[a]", "b", "b"),
    ("healthcheck", "{test: [CMD, a], retries: 1}", "{test: b}", {"test": "b", "retries": 1}),
    ("environment", "{B: 1, A: }", "[C=2]", ["A", "B=1", "C=2"]), ("labels", "[a=1]", "{b: true}", ["a=1", "b=true"]),
    ("dns", "1.1.1.1", "[2.2.2.2]", ["1.1.1.1", "2.2.2.2"]),
    ("extra_hosts", "{h: [1.1.1.1, 2.2.2.2]}", "[h=1.1.1.1, g=3.3.3.3]", ["h=1.1.1.1", "h=2.2.2.2", "g=3.3.3.3"]),
    ("build", ".", "{target: t}", {"context": ".", "target": "t"}),
    ("build", "{args: {A: 1}}", "{args: [B=2]}", {"args": ["A=1", "B=2"]}),
    ("networks", "[n]", "{n: {aliases: [x]}, m: }", {"n": {"aliases": ["x"]}, "m": None}),
    ("depends_on", "[b]", "{c: {condition: service_healthy}}",
     {"b": {"condition": "service_started", "required": True}, "c": {"condition": "service_healthy"}}),
    ("logging", "{driver: a, options: {x: 1}}", "{driver: b, options: {y: 2}}", {"driver": "b", "options": {"y": 2}}),
    ("logging", "{driver: a, options: {x: 1}}", "{options: {y: 2}}", {"driver": "a", "options": {"x": 1, "y": 2}}),
    ("ulimits", "{n: 1, m: {soft: 1, hard: 2}}", "{m: 3}", {"n": 1, "m": 3}), ("security_opt", "[a]", "[a]", ["a", "a"]),
])
def test_merge_of_a_service_attribute(key: str, base: str, over: str, found: object) -> None:
    assert merged(f"{{{key}: {base}}}", f"{{{key}: {over}}}", "services", "s") == {key: found}


def test_ipam_pools_merge_by_subnet() -> None:
    base, over = "{ipam: {config: [{subnet: a}, {subnet: b}]}}", "{ipam: {config: [{subnet: b, gateway: g}, {subnet: c}]}}"
    assert merged(base, over, "networks", "n")["ipam"]["config"] == [{"subnet": "a"}, {"subnet": "b", "gateway": "g"}, {"subnet": "c"}]


@pytest.mark.parametrize(("base", "over"), [("[a]", "b"), ("{a: 1}", "[b]"), ("{a: 1}", "b")])
def test_a_collection_is_overridden_by_its_like_only(folder: Folder, base: str, over: str) -> None:
    assert "cannot override `x-k`" in folder.refused(f"x-k: {base}\n", f"x-k: {over}\n")


@pytest.mark.parametrize(("path", "left"), [
    (("a",), {"b": ["K=1", "L"]}), (("b", "K"), {"a": {"c": 1}, "b": ["L"]}), (("b", "L"), {"a": {"c": 1}, "b": ["K=1"]}),
    (("x", "y"), None)])
def test_reset(path: tuple[str, ...], left: object) -> None:
    root = tree("{a: {c: 1}, b: [K=1, L]}")
    reset(root, (path,))
    assert root == (left or {"a": {"c": 1}, "b": ["K=1", "L"]})


def nodes() -> st.SearchStrategy[Any]:
    scalars = st.one_of(st.none(), st.text(max_size=3), st.integers(0, 9), st.booleans())
    keys = st.sampled_from(["services", "networks", "a", "build", "environment", "labels", "ports", "logging"])
    return st.recursive(scalars, lambda inner: st.one_of(
        st.builds(Seq, st.lists(inner, max_size=3)), st.builds(Map, st.dictionaries(keys, inner, max_size=3))), max_leaves=12)


@settings(derandomize=True, max_examples=200, deadline=None)
@given(st.builds(Map, st.dictionaries(st.sampled_from("abc"), nodes(), max_size=3)))
def test_merging_nothing_changes_nothing(root: Map) -> None:
    report = Report()
    assert merge(clone(root), Map(), (), None, report) == root
    assert merge(Map(), clone(root), (), None, report) == root


@pytest.mark.parametrize(("attribute", "over", "found"), [
    ("ports: ['80:80', '81:81']", "ports: ['80:80', '82:81']", ["80", "81", "82"]),
    ("volumes: ['v1:/x', 'v2:/y']", "volumes: ['v3:/x']", ["v3", "v2"]),
    ("devices: [/dev/a:/dev/x]", "devices: [/dev/b:/dev/x]", ["/dev/b"]),
    ("secrets: [s]", "secrets: [{source: t, target: /run/secrets/s}]", ["t"]),
    ("env_file: [e]", "env_file: [{path: e, required: false}]", [False]),
    ("profiles: [p, q]", "profiles: [q]", ["p", "q"]), ("cap_add: [A]", "cap_add: [A, B]", ["A", "B"]),
    ("expose: [1]", "expose: ['1', 2]", ["1", "2"]),
    ("environment: [A=1, B=2]", "environment: {A: 3}", [("A", "3"), ("B", "2")]), ("tmpfs: /a", "tmpfs: [/a, /b]", ["/a", "/b"]),
    ("environment: {A: 1, B: 2}", "environment: {A: !reset }", [("B", "2")]),
    ("environment: [A=1, B=2]", "environment: {A: !reset }", [("B", "2")]),
    ("environment: {A: 1}", "environment: !override {B: 2}", [("B", "2")]), ("ports: ['80:80']", "ports: !reset []", []),
    ("group_add: [a]", "group_add: [a, b]", ["a", "a", "b"]),
])
def test_override_file(folder: Folder, attribute: str, over: str, found: object) -> None:
    service = folder.service(one(attribute), f"services:\n  a:\n    {over}\n", consistency=False, resolve_environment=False, profiles=("*",))
    value = getattr(service, attribute.partition(":")[0])
    if value and hasattr(value[0], "_fields"):
        value = [item.published if hasattr(item, "published") else item.required if hasattr(item, "required") else item.source for item in value]
    assert list(value) == found


@pytest.mark.parametrize("key", ["ports", "labels", "hostname", "build", "healthcheck", "deploy"])
def test_a_null_in_an_override_says_nothing(folder: Folder, key: str) -> None:
    base = one("ports: ['80']\nlabels: {a: 1}\nhostname: h\nbuild: .\nhealthcheck: {retries: 2}\ndeploy: {replicas: 2}")
    assert folder.printed(base, f"services:\n  a:\n    {key}:\n") == folder.printed(base)


def test_a_null_without_a_value_elsewhere_is_refused_where_it_stands(folder: Folder) -> None:
    text = folder.refused(one("hostname: h"), "services:\n  a:\n    ports:\n")
    assert "`services.a.ports` is null, not a list\n --> f1.yaml:3:5\n" in text


@pytest.mark.parametrize("key", ["command", "entrypoint"])
def test_a_null_takes_back_what_replaces_whole(folder: Folder, key: str) -> None:
    assert folder.printed(one(f"{key}: x"), f"services:\n  a:\n    {key}:\n")["services"]["a"][key] is None


def test_documents_of_a_file_merge_in_order(folder: Folder) -> None:
    assert folder.service(one("hostname: h") + "---\nservices: {a: {hostname: g, user: u}}\n").hostname == "g"


def test_a_service_can_be_reset(folder: Folder) -> None:
    project = folder.load("services: {a: {image: x}, b: {image: y}}", "services: {b: !reset {}}").project
    assert [service.name for service in project.services] == ["a"]


def test_what_an_override_lacks_may_stand_in_an_earlier_file(folder: Folder) -> None:
    base = "services: {a: {image: i, depends_on: {b: {condition: service_healthy}}}, b: {image: i}}"
    found = folder.printed(base, "services: {a: {depends_on: {b: {required: false}}}}")["services"]["a"]["depends_on"]["b"]
    assert (found["condition"], found["required"]) == ("service_healthy", False)


def test_what_no_file_has_is_pointed_at_where_it_is_missing(folder: Folder) -> None:
    text = folder.refused("services: {a: {image: i}, b: {image: i}}", "services:\n  a:\n    depends_on:\n      b: {required: false}\n")
    assert "`services.a.depends_on.b` has no `condition`\n --> f1.yaml:4:7\n" in text


@pytest.mark.parametrize("text", ["services: {a: {extends: {file: f0.yaml}}}", "services: {a: {image: i, extends: {}}}"])
def test_extends_names_a_service(folder: Folder, text: str) -> None:
    assert "`services.a.extends` has no `service`" in folder.refused(text)
