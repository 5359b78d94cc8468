import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lang.source import Source
from runner.errors import InvalidCompose
from runner.load.dotenv import LARGEST, parse
from runner.load.report import Report

ENV = {"HOST": "h", "EMPTY": ""}


def read(text: str, format: str = "", known: "dict[str, str] | None" = None) -> dict[str, str]:
    return parse(Source(".env", text), known or {}, ENV.get, Report(), format)


@pytest.mark.parametrize(("text", "found"), [
    ("A=1", {"A": "1"}), ("A = 1 \n", {"A": "1"}), ("A: 1", {"A": "1"}), ("export A=1", {"A": "1"}), ("exportA=1", {"exportA": "1"}),
    ("\n# c\n  A=1", {"A": "1"}),
    ("A=", {"A": ""}), ("A==b", {"A": "=b"}), ("a.b-c[0]_d=1", {"a.b-c[0]_d": "1"}), ("é=1", {"é": "1"}),
    ("A=x y # c", {"A": "x y"}), ("A=x#y", {"A": "x#y"}), ("A='x # y' # c", {"A": "x # y"}), ("A=\"x # y\"", {"A": "x # y"}),
    ("A='$HOST'", {"A": "$HOST"}), ("A=$HOST", {"A": "h"}), ("A=\"${HOST}\"", {"A": "h"}), ("A=${B:-d}", {"A": "d"}),
    ("A=$$HOST", {"A": "$HOST"}), ("A=\"\\$HOST\"", {"A": "$HOST"}),
    ("A=a\\nb", {"A": "a\\nb"}), ("A=\"a\\nb\\t\\\"\\\\\"", {"A": "a\nb\t\"\\"}), ("A='a\\nb'", {"A": "a\\nb"}),
    ("A='it\\'s'", {"A": "it's"}), ("A=\"\\q\\0101\"", {"A": "\\qA"}),
    ("A='1\n2'\nB=\"3\n4\"", {"A": "1\n2", "B": "3\n4"}), ("A='x' B=2", {"A": "x", "B": "2"}),
    ("HOST\nNONE\nB=2", {"HOST": "h", "B": "2"}), ("A=1\nB=$A", {"A": "1", "B": "1"}), ("HOST=file\nB=$HOST", {"HOST": "file", "B": "h"}),
    ("A=1\nA=2", {"A": "2"}),
    ("A=`ls` $(ls)", {"A": "`ls` $(ls)"}), ("", {}), ("# only", {}),
])
def test_dotenv(text: str, found: dict[str, str]) -> None:
    assert read(text) == found


def test_a_last_word_without_line_end_is_said() -> None:
    report = Report()
    assert parse(Source(".env", "A=1\nB"), {}, ENV.get, report) == {"A": "1", "": "B"}
    assert [one.message for one in report.warnings] == ["`B` is followed by neither `=` nor a line end"]


def test_earlier_files_are_seen() -> None:
    assert read("A=$B", known={"B": "1"}) == {"A": "1"}


@pytest.mark.parametrize(("text", "reason"), [
    ("A B=1", ".env:1:1: a variable's name cannot contain a space"), ("\nA!=1", ".env:2:2: unexpected character `!`"),
    ("A=1\nB='x", ".env:2:3: unterminated quoted value"),
    ("A=${", ".env:1:3: invalid template"), ("A=${B?no}", ".env:1:5: required variable `B`"),
    ("export ", ".env:1:8: `export` without a variable"),
])
def test_no_dotenv(text: str, reason: str) -> None:
    with pytest.raises(InvalidCompose) as caught:
        read(text)
    assert str(caught.value).startswith(reason)


def test_raw_format() -> None:
    assert read("A=\"q\" # c\n# c\n  B=$HOST\nHOST\nNONE\nC=\n", "raw") == {"A": "\"q\" # c", "B": "$HOST", "HOST": "h", "C": ""}


@pytest.mark.parametrize(("text", "format", "reason"), [
    ("=x", "raw", "without a name"), ("A B=1", "raw", "white space"), ("A=1", "json", "unsupported env_file format `json`")])
def test_no_raw_file(text: str, format: str, reason: str) -> None:
    with pytest.raises(InvalidCompose, match=reason):
        read(text, format)


def test_variables_that_double_are_refused() -> None:
    with pytest.raises(InvalidCompose, match="longer than"):
        read("A0=xxxxxxxx\n" + "".join(f"A{i + 1}=$A{i}$A{i}\n" for i in range(60)))


def test_a_large_file_is_refused() -> None:
    with pytest.raises(InvalidCompose, match="larger than"):
        read("#" * (LARGEST + 1))


@settings(derandomize=True, max_examples=400, deadline=None)
@given(st.text(alphabet="AB=:'\"\\$#{}\n \texport0", max_size=30), st.sampled_from(["", "raw"]))
def test_dotenv_raises_nothing_but_its_own_error(text: str, format: str) -> None:
    try:
        read(text, format)
    except InvalidCompose as error:
        assert error.diagnostics
