from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lang.source import Source
from runner.errors import InvalidCompose
from runner.load import reading
from runner.load.document import DEPTH, NODES, SIZE, parse
from runner.load.report import Report


def roots(text: str) -> list[Any]:
    return [one.root for one in parse(Source("c.yaml", text), Report())]


def refused(text: str) -> str:
    with pytest.raises(InvalidCompose) as caught:
        roots(text)
    return str(caught.value)


@pytest.mark.parametrize(("text", "root"), [
    ("a: 1\nb: [x, 'y', \"z\"]\nc: {d: }", {"a": 1, "b": ["x", "y", "z"], "c": {"d": None}}),
    ("no: yes\non: off", {"no": "yes", "on": "off"}),
    ("'1': '2'\n\"true\": !!str true", {"1": "2", "true": "true"}),
    ("a: |\n  x\n  y\nb: >-\n  x\n  y", {"a": "x\ny\n", "b": "x y"}),
    ("a: !!int 0x10\nb: !!float 1\nc: !!null ''\nd: !!bool true\ne: ! 1", {"a": 16, "b": 1.0, "c": None, "d": True, "e": "1"}),
    ("a: &x {k: 1}\nb: *x\nc: [*x]", {"a": {"k": 1}, "b": {"k": 1}, "c": [{"k": 1}]}),
    ("&k a: 1\nb: *k", {"a": 1, "b": "a"}),
    ("a: &x {k: 1, l: 1}\nb: {<<: *x, k: 2}", {"a": {"k": 1, "l": 1}, "b": {"k": 2, "l": 1}}),
    ("a: &x {k: 1}\nb: &y {k: 2, m: 2}\nc: {<<: [*x, *y]}", {"a": {"k": 1}, "b": {"k": 2, "m": 2}, "c": {"k": 1, "m": 2}}),
    ("'<<': {a: 1}", {"<<": {"a": 1}}),
])
def test_document(text: str, root: object) -> None:
    assert roots(text) == [root]


def test_documents_without_content_are_left_out() -> None:
    assert roots("---\n---\na: 1\n---\n~\n...\n---\nb: 2\n") == [{"a": 1}, {"b": 2}]
    assert roots("# nothing\n") == []


@pytest.mark.parametrize(("text", "reason"), [
    ("a: 1\na: 2", "c.yaml:2:1: the key `a` is there twice"), ("{<<: {a: 1}, <<: {b: 1}}", "the key `<<` is there twice"),
    ("1: a", "c.yaml:1:1: a key that is no string"), ("~: a", "no string"), ("true: a", "no string"), ("[a]: b", "no string"),
    ("{a: b}: c", "no string"),
    ("a: *b", "c.yaml:1:4: no anchor `&b`"), ("a: &a [*a]", "stands inside what it names"),
    ("a: &a {<<: *a}", "stands inside what it names"), ("a: &a {b: {c: *a}}", "inside"),
    ("a: !foo b", "c.yaml:1:4: the tag `!foo`"), ("a: !!binary aGk=", "the tag `!!binary`"),
    ("a: !!python/object:os.system x", "the tag `!!python/object:os.system`"),
    ("a: !!set {b}", "the tag `!!set`"), ("a: !!int x", "no value of `!!int`"), ("<<: 1", "takes a mapping"),
    ("<<: [a]", "takes a mapping"),
    ("a: \"x\\0y\"", "c.yaml:1:4: a text with a NUL character"), ("a: \"x", "c.yaml:1:4: while scanning a quoted scalar"),
    ("a: b: c", "mapping values are not allowed"),
    ("\ta: 1", "cannot start any token"), ("a: \x01", "c.yaml:1:4: a character that YAML"),
    ("a: {b: ${C}}", "c.yaml:1:9"), ("%YAML 3.0\n---\na: 1", "found incompatible YAML document"),
])
def test_no_document(text: str, reason: str) -> None:
    assert reason in refused(text)


def test_a_place_for_every_key_and_item() -> None:
    text = "services:\n  a: {image: 'x', ports: [80, 81]}\n"
    service = roots(text)[0]["services"]["a"]
    _, key, key_end, start, end = service.marks["image"]
    assert (text[key:key_end], text[start:end]) == ("image", "'x'")
    assert [text[mark[3]:mark[4]] for mark in service["ports"].marks] == ["80", "81"]


@pytest.mark.parametrize(("text", "root", "resets"), [
    ("a: !reset 1\nb: 2", {"b": 2}, (("a",),)), ("a: {b: !reset, c: 1}", {"a": {"c": 1}}, (("a", "b"),)),
    ("a: !override [1]\nb: !override x", {"a": [1], "b": "x"}, (("a",), ("b",))), ("a: [1, !reset 2, 3]", {"a": [1, 3]}, ()),
    ("x-r: &r !reset []\na: {b: *r}", {"a": {}}, (("x-r",), ("a", "b"))),
    ("x-r: &r {b: !reset 1}\na: {<<: *r}", {"x-r": {}, "a": {}}, (("x-r", "b"), ("a", "b"))),
    ("a: !override {b: !reset 1, c: 2}", {"a": {"c": 2}}, (("a",),)),
])
def test_reset_and_override(text: str, root: object, resets: object) -> None:
    (document,) = parse(Source("c.yaml", text), Report())
    assert (document.root, document.resets) == (root, resets)


def test_too_deep() -> None:
    assert f"nested deeper than {DEPTH}" in refused("[" * 50_000)
    assert f"nested deeper than {DEPTH}" in refused("".join(" " * i + "a:\n" for i in range(DEPTH + 3)))


def test_too_many_nodes() -> None:
    assert f"more than {NODES:,} nodes" in refused("a: [" + "x," * NODES + "]")


def test_aliases_count_as_what_they_stand_for() -> None:
    bomb = "a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n" + "".join(f"a{i}: &a{i} [{','.join([f'*a{i - 1}'] * 10)}]\n" for i in range(1, 9))
    assert "aliases expanded" in refused(bomb)


def test_merge_keys_count_too() -> None:
    bomb = "a0: &a0 {k: 1}\n" + "".join(f"a{i}: &a{i} {{<<: [*a{i - 1}, *a{i - 1}], x{i}: *a{i - 1}}}\n" for i in range(1, 60))
    assert "aliases expanded" in refused(bomb)


def test_too_large() -> None:
    assert "larger than 10 MiB" in refused("#" * (SIZE + 1))


@pytest.mark.parametrize(("data", "text"), [
    (b"a: \xc3\xa9", "a: é"), (b"\xef\xbb\xbfa: 1", "a: 1"), ("a: é".encode("utf-16"), "a: é"), (b"a: 1\r\nb: 2", "a: 1\nb: 2"),
])
def test_bytes_as_text(data: bytes, text: str) -> None:
    assert reading.text(data, "f").text == text


def test_bytes_that_are_no_text() -> None:
    with pytest.raises(InvalidCompose, match=r"f:2:4: byte 8 is no UTF-8 text"):
        reading.text(b"a: 1\nb: \xff", "f")


@settings(derandomize=True, max_examples=400, deadline=None)
@given(st.binary(max_size=60))
def test_any_bytes_load_or_are_refused(data: bytes) -> None:
    try:
        parse(reading.text(data, "f"), Report())
    except InvalidCompose as error:
        assert error.diagnostics


@settings(derandomize=True, max_examples=600, deadline=None)
@given(st.text(alphabet="ab:-[]{}&*!<?|>'\"# \n\t,1~%@`", max_size=40))
def test_any_text_loads_or_is_refused_at_a_place(text: str) -> None:
    try:
        parse(Source("f", text), Report())
    except InvalidCompose as error:
        assert 0 <= error.diagnostics[0].span.start <= len(text)
