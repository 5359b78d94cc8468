import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runner.load.scalar import plain, text_of


@pytest.mark.parametrize(("text", "value"), [
    ("", None), ("~", None), ("null", None), ("nULL", "nULL"), ("true", True), ("False", False), ("yes", "yes"), ("on", "on"), ("n", "n"),
    ("12", 12), ("+12", 12), ("-12", -12), ("0440", 288), ("0o17", 15), ("0x1f", 31), ("0b101", 5), ("1_000", 1000), ("089", 89.0),
    ("0x", "0x"), ("0o8", "0o8"), ("-", "-"), ("+", "+"), ("1-2", "1-2"), ("22:22", "22:22"), ("2001-01-01", "2001-01-01"),
    ("1.5", 1.5), (".5", 0.5), ("1.", 1.0), ("1e3", 1000.0), (".e5", ".e5"), ("1.2.3", "1.2.3"), ("1e400", "1e400"),
    ("infinity", "infinity"),
    ("18446744073709551615", 2 ** 64 - 1), ("18446744073709551616", 2.0 ** 64), ("9" * 500, "9" * 500), ("١٢", "١٢"), ("1١", "1١"),
    (".inf", float("inf")), ("-.INF", float("-inf")), ("falsey", "falsey"), ("~x", "~x"), ("1 2", "1 2"),
])
def test_plain_scalar(text: str, value: object) -> None:
    found = plain(text)
    assert found == value and found.__class__ is value.__class__


@pytest.mark.parametrize(("value", "text"), [
    (None, ""), (True, "true"), (False, "false"), (5, "5"), ("x", "x"), (1.0, "1"), (1.5, "1.5"), (999999.0, "999999"), (1e6, "1e+06"),
    (1234567.5, "1.2345675e+06"), (-1e20, "-1e+20"), (123456.75, "123456.75"), (1e21, "1e+21"), (0.00001, "1e-05"), (0.0001, "0.0001"), (1.5e300, "1.5e+300"), (-0.0, "-0"), (float("inf"), "+Inf"),
    (float("nan"), "NaN"),
])
def test_scalar_as_text(value: "str | float | bool | None", text: str) -> None:
    assert text_of(value) == text


@settings(derandomize=True, max_examples=300, deadline=None)
@given(st.text(alphabet="0123456789.eExXoObB_+-:~nulltrefas \t", max_size=12))
def test_plain_never_raises_and_words_stay(text: str) -> None:
    found = plain(text)
    assert found == text or not isinstance(found, str)


@settings(derandomize=True, max_examples=100, deadline=None)
@given(st.floats(allow_nan=False, allow_infinity=False))
def test_a_float_reads_back_from_its_text(value: float) -> None:
    assert float(text_of(value)) == value
