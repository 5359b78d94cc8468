"""A file is one noun: none over 600 lines, the median at most 150; every room says what it is in one line."""

import ast
import statistics

from tests.architecture.test_imports import ROOMS, ROOT, sources

LIMIT, MEDIAN = 600, 150
NOT_NAMES = {"util", "utils", "common", "core", "helpers", "helper", "misc"}


def test_no_file_is_too_long() -> None:
    files = sources() + sorted((ROOT / "tests").rglob("*.py"))
    long = {str(p.relative_to(ROOT)): n for p in files if (n := len(p.read_text().splitlines())) > LIMIT}
    assert not long


def test_median_file_is_short() -> None:
    lengths = [n for p in sources() if (n := len(p.read_text().splitlines())) > 1]
    assert statistics.median(lengths) <= MEDIAN


def test_every_module_says_what_it_is() -> None:
    silent = [str(p.relative_to(ROOT)) for p in sources() if not ast.get_docstring(ast.parse(p.read_text()))]
    assert not silent


def test_rooms_have_one_line_and_nothing_else_in_init() -> None:
    for room in ROOMS:
        body = ast.parse((ROOT / room / "__init__.py").read_text()).body
        assert len(body) == 1 and "\n" not in (ast.get_docstring(ast.parse((ROOT / room / "__init__.py").read_text())) or "\n"), room


def test_no_room_for_leftovers() -> None:
    names = {part for p in sources() for part in p.relative_to(ROOT).with_suffix("").parts}
    assert not names & NOT_NAMES
