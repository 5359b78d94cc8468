"""Layout: what it looks like afterwards; that it says the same; that doing it twice changes nothing."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lang.errors import LangError
from lang.format import format_text
from lang.nodes import Raw
from lang.parser import read
from lang.source import Source, decode


def formatted(text: str) -> str:
    return format_text(Source("Dockerfile", text))


def meaning(text: str) -> Any:
    """The tree, without where things stand and without the case of keywords."""
    def one(raw: Raw) -> Any:
        args = [word.text for word in raw.args]
        if raw.name == "FROM" and len(args) == 3:
            args[1] = args[1].upper()
        heredocs = [(h.name, h.content, h.expand, h.chomp, h.descriptor) for h in raw.heredocs]
        return (raw.name, [flag.text for flag in raw.flags], args, raw.json, raw.legacy, heredocs, one(raw.child) if raw.child else None,
                [comment.text for comment in raw.comments])
    return [one(raw) for raw in read(Source("Dockerfile", text))]


@pytest.mark.parametrize(("before", "after"), [
    ("from   a   as  b\n", "FROM a AS b\n"),
    ("  FROM a\n\trun  x   y  \n", "FROM a\nRUN x   y\n"),
    ("FROM a\nRUN x\nFROM b\n", "FROM a\nRUN x\n\nFROM b\n"),
    ("FROM a\nRUN x\n# about b\nFROM b\n", "FROM a\nRUN x\n\n# about b\nFROM b\n"),
    ("\n\n\nFROM a\n\n\n\nRUN x\n\n\n", "FROM a\n\nRUN x\n"),
    ("FROM a\ncopy --from=b   x \\\n   # why\n     y\\\n\n    /z\n", "FROM a\nCOPY --from=b x \\\n    # why\n    y \\\n    /z\n"),
    ("FROM a\nENV A=1   B=\"x  y\" \\\nC=3\n", "FROM a\nENV A=1 B=\"x  y\" \\\n    C=3\n"),
    ("FROM a\nENV A=\"x \\\n   y\"\n", "FROM a\nENV A=\"x \\\n   y\"\n"),
    ("FROM a\nENV   A    b  c\n", "FROM a\nENV A    b  c\n"),
    ("FROM a\nRUN x && \\  \n\n      y   \\\n  # c  \n  z \n", "FROM a\nRUN x && \\\n      y   \\\n  # c\n  z\n"),
    ("FROM a\nCMD   [\"a\",\"b\"  ,\"c\"]\nentrypoint []\n", "FROM a\nCMD [\"a\", \"b\", \"c\"]\nENTRYPOINT []\n"),
    ("FROM a\nhealthcheck  --retries=2   cmd  [\"x\" , \"y\"]\n", "FROM a\nHEALTHCHECK --retries=2 cmd [\"x\", \"y\"]\n"),
    ("FROM a\nRUN <<E\n  body   \nE\nCOPY   <<E   /x\n\tb\nE\n\n\n\nRUN y\n", "FROM a\nRUN <<E\n  body   \nE\nCOPY <<E /x\n\tb\nE\n\nRUN y\n"),
    ("# syntax=x\n\n\n  # comment\nFROM a", "# syntax=x\n\n# comment\nFROM a\n"),
    ("FROM a\nCOPY   --   --x   y\n", "FROM a\nCOPY -- --x y\n"),
    ("FROM a\nRUN x\n# the end\n\n\n", "FROM a\nRUN x\n# the end\n"),
    ("# escape=`\nFROM a\nCOPY x  `\n  y z\n", "# escape=`\nFROM a\nCOPY x `\n    y z\n"),
    ("FROM a\nonbuild   run  x\n", "FROM a\nONBUILD run  x\n"),
])
def test_layout(before: str, after: str) -> None:
    assert formatted(before) == after
    assert formatted(after) == after
    assert meaning(before) == meaning(after)


@pytest.mark.parametrize("text", [
    "FROM a\ncopy\t\\  \u2028 \n\nRUN x\n", "FROM\t\\ \n\\ \t \xa0 \nWORKDIR /x\n", "FROM a\nEXPOSE \\\n80 \\\n\n# x\n\\\n\n",
    "FROM a\ncopy  a=\\  <<EOF \nEOF\nUSER x\n", "FROM a\nCOPY \\\n\\ \\\n\n\\  <<EOF x\nLABEL\ta b \n\nEOF\n",
    "# escape=`\nFROM a\nadd  a`  <<EOF /x\nEOF\nUSER x\n", "FROM a\n# x \ufeff \nRUN y\n", "FROM a\nENV  A=\\\\\n\nRUN x\n",
])
def test_what_an_escape_does_not_let_be_moved_says_the_same(text: str) -> None:
    """Found by fuzzing."""
    once = formatted(text)
    assert meaning(once) == meaning(text)
    assert formatted(once) == once


def test_an_empty_line_that_keeps_a_comment_from_being_a_directive_stays() -> None:
    text = "\n# escape=`\nFROM a\nRUN x \\\n y\n"
    assert formatted(text) == text


def test_a_file_that_does_not_read_is_not_laid_out() -> None:
    with pytest.raises(LangError):
        formatted("FROM a\nENV x\n")


GOLDEN = sorted(Path(__file__).parent.glob("*/*/Dockerfile"))


@pytest.mark.parametrize("path", GOLDEN, ids=lambda path: path.parent.name)
def test_every_golden_case_says_the_same_afterwards(path: Path) -> None:
    text = decode(path.read_bytes())
    try:
        before = meaning(text)
    except LangError:
        return
    once = formatted(text)
    assert meaning(once) == before
    assert formatted(once) == once


PIECE = st.sampled_from([
    "FROM", "from a", "RUN", "run x", " AS ", "b", "COPY", "COPY a b", "ENV", "ENV a=1", "ENV a b", "LABEL x=\"y z\"", "--f=x", "--", "--mount=a,b", "\\", "\\\n", " \\ \n",
    "\n", "\n\n", " ", "\t", "  ", "# c\n", "#\n", "# escape=`\n", "`\n", "[\"a\",  \"b\"]", "[", "]", "'", "\"", "<<E", "\nE\n", "<<-E", "$x", "é", "\r\n", "ONBUILD ", "HEALTHCHECK CMD ",
    "EXPOSE 80  81", "VOLUME [\"a\"]", "ARG a", "=", "\ufeff", "\x85", "INCLUDE x"])


@given(st.lists(PIECE, max_size=14).map("".join))
def test_any_text_says_the_same_afterwards_and_is_done_in_one_go(text: str) -> None:
    try:
        before = meaning(text)
    except LangError:
        return
    once = formatted(text)
    assert meaning(once) == before
    assert formatted(once) == once
