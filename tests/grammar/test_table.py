"""Tables: made on demand, never stale, usable by another interpreter, in the wheel's build."""

import marshal
from pathlib import Path
from typing import Any

import pytest

from grammar import driver
from grammar.compiler import compile_grammar, names, write
from grammar.driver import Table, run


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with the grammars and no tables."""
    for name in names():
        (tmp_path / f"{name}.lark").write_bytes(Path(driver.HERE, f"{name}.lark").read_bytes())
    return tmp_path


@pytest.mark.parametrize("name", names())
def test_a_table_survives_its_file(name: str, folder: Path) -> None:
    data = compile_grammar(name)
    path = write(name, data, str(folder))
    assert driver._load(name, str(folder)) == data
    assert [p.name for p in folder.iterdir() if p.name.startswith(".")] == []
    assert path.name == f"{name}.table"


def test_a_table_of_another_text_counts_as_missing(folder: Path) -> None:
    write("interpolation", compile_grammar("interpolation"), str(folder))
    with (folder / "interpolation.lark").open("a") as grammar:
        grammar.write("// changed\n")
    assert driver._load("interpolation", str(folder)) is None


def test_a_table_without_its_source_is_taken_as_it_is(folder: Path) -> None:
    write("interpolation", compile_grammar("interpolation"), str(folder))
    (folder / "interpolation.lark").unlink()
    assert driver._load("interpolation", str(folder)) is not None


@pytest.mark.parametrize("content", [b"", b"not marshal", marshal.dumps([1, 2]), marshal.dumps({"format": -1})])
def test_a_broken_table_counts_as_missing(content: bytes, folder: Path) -> None:
    (folder / "interpolation.table").write_bytes(content)
    assert driver._load("interpolation", str(folder)) is None


def test_a_table_made_by_another_interpreter_gives_the_same_tree() -> None:
    data: dict[str, Any] = compile_grammar("interpolation")
    foreign = dict(data, machine="cpython-399 1 4", patterns=[(p[0], p[1], [], *p[3:]) for p in data["patterns"]])
    text = "a${B:-$C}"
    assert run(Table(foreign), text) == run(Table(data), text)
