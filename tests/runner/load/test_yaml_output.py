from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lang.source import Source
from pybuild.output.yaml import dump
from runner.load.document import parse
from runner.load.report import Report


def read(text: str) -> Any:
    documents = parse(Source("out", text), Report())
    return documents[0].root if documents else None


@pytest.mark.parametrize(("value", "text"), [
    ({"a": 1, "b": [1, "x"], "c": {"d": None}}, "a: 1\nb:\n  - 1\n  - x\nc:\n  d: null\n"),
    ({"a": [{"b": 1, "c": [2]}, [3, 4], {}, []]}, "a:\n  - b: 1\n    c:\n      - 2\n  - - 3\n    - 4\n  - {}\n  - []\n"),
    ({"a": {}, "b": [], "c": True, "d": 1.5, "e": 1.0}, "a: {}\nb: []\nc: true\nd: 1.5\ne: 1\n"),
    ({"a": "80", "b": "1.5", "c": "true", "d": "yes", "e": "22:22", "f": "2001-01-01", "g": ""},
     'a: "80"\nb: "1.5"\nc: "true"\nd: "yes"\ne: "22:22"\nf: "2001-01-01"\ng: ""\n'),
    ({"a": "127.0.0.1", "b": "--x", "c": "-f", "d": "a: b", "e": "a #b", "f": "*a", "g": "http://x:1"},
     "a: 127.0.0.1\nb: --x\nc: -f\nd: 'a: b'\ne: 'a #b'\nf: '*a'\ng: http://x:1\n"),
    ({"a": "x\ny\n", "b": "x\ny", "c": "x\n\n", "d": " x\ny"}, 'a: |\n  x\n  y\nb: |-\n  x\n  y\nc: |+\n  x\n\nd: " x\\ny"\n'),
    ({"a": "tab\there", "b": "\x1b", "c": "it's"}, 'a: "tab\\there"\nb: "\\e"\nc: it\'s\n'),
])
def test_yaml(value: object, text: str) -> None:
    assert dump(value) == text
    assert read(text) == value


LETTERS = st.characters(exclude_characters="\0", exclude_categories=["Cs"])
VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-10 ** 6, 10 ** 6), st.floats(allow_nan=False), st.text(LETTERS, max_size=12),
              st.text(alphabet="ab:#-?![]{}&*,'\"\n\t |>%@`0123.~", max_size=10)),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(LETTERS, min_size=1, max_size=6), inner, max_size=3)), max_leaves=10)


@settings(derandomize=True, max_examples=400, deadline=None)
@given(st.dictionaries(st.text(alphabet="abcx-$. ", min_size=1, max_size=6), VALUES, min_size=1, max_size=4))
def test_what_is_written_reads_as_it_was(value: object) -> None:
    assert read(dump(value)) == value
