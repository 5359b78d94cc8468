"""What images, archives and registries say is shown, and does nothing to a terminal."""

from pybuild.output.errors import text
from pybuild.output.listing import table
from store.errors import InvalidImage


def test_an_error_is_one_line_that_drives_nothing() -> None:
    shown = text(InvalidImage("the config of `\x1b[2J\nerror: forged`", "it is \x07 \udcff \u202e"))
    assert shown.isprintable() and shown.startswith("error: the config of `\u241b[2J\u240aerror: forged`")


def test_help_is_one_line_too() -> None:
    error = InvalidImage("it", "no")
    error.help = "do\nthis"
    assert text(error) == "error: it is not valid: no\n  = help: do\u240athis"


def test_a_cell_drives_nothing() -> None:
    assert table([["COMMAND", "X"], ["\x1b[31mred\n", "\u00e9"]]) == ["COMMAND     X", "\u241b[31mred\u240a   \u00e9"]
