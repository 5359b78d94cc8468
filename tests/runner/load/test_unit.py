import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runner.load.unit import LONGEST, duration, duration_text, size

SECOND = 10 ** 9


@pytest.mark.parametrize(("text", "value"), [
    ("0", 0), ("7", 7), ("1b", 1), ("2k", 2048), ("2K", 2048), ("2kb", 2048), ("2KiB", 2048), ("1.5m", 1536 * 1024), ("1 g", 1 << 30),
    ("3t", 3 << 40), ("1p", 1 << 50), (".5k", 512), ("1e3", 1000), ("1.9", 1),
])
def test_size(text: str, value: int) -> None:
    assert size(text) == value


@pytest.mark.parametrize("text", ["", " ", "k", "1x", "1bb", "1kk", "1  g", "-1", "1kib2", "0x10", "1_0", "nan", "inf", "1.2.3m", "9" * 30 + "p",
                                  "1 kbb", "1ib"])
def test_no_size(text: str) -> None:
    with pytest.raises(ValueError, match=r"size|larger"):
        size(text)


@pytest.mark.parametrize(("text", "value"), [
    ("0", 0), ("1s", SECOND), ("1m30s", 90 * SECOND), ("1.5h", 5400 * SECOND), ("-2ms", -2 * 10 ** 6), ("+1us", 1000), ("1µs", 1000),
    ("1μs", 1000), (".5s", SECOND // 2), ("1.s", SECOND), ("5ns", 5), ("1s1m", 61 * SECOND), ("1.0000000001s", SECOND),
])
def test_duration(text: str, value: int) -> None:
    assert duration(text) == value


@pytest.mark.parametrize(("text", "reason"), [
    ("", "no duration"), ("-", "no duration"), (".s", "no duration"), ("s", "no duration"), ("10", "no unit"), ("1m2", "no unit"),
    ("1x", "`x` is no unit"), ("1 s", "` s` is no unit"), ("3mss", "`mss` is no unit"), ("1d", "`d` is no unit"), ("9999999h", "292 years"),
])
def test_no_duration(text: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        duration(text)


@pytest.mark.parametrize(("value", "text"), [
    (0, "0s"), (1, "1ns"), (1500, "1.5µs"), (20 * 10 ** 6, "20ms"), (SECOND, "1s"), (60 * SECOND, "1m0s"), (3930 * SECOND, "1h5m30s"),
    (SECOND + 20 * 10 ** 6, "1.02s"), (-90 * SECOND, "-1m30s"), (86400 * SECOND, "24h0m0s"),
])
def test_duration_as_text(value: int, text: str) -> None:
    assert duration_text(value) == text


@settings(derandomize=True, max_examples=200, deadline=None)
@given(st.integers(-LONGEST, LONGEST))
def test_a_duration_reads_back_from_its_text(value: int) -> None:
    assert duration(duration_text(value)) == value


@settings(derandomize=True, max_examples=300, deadline=None)
@given(st.text(alphabet="0123456789.+-hmsnuµxkgb e", max_size=12))
def test_units_raise_nothing_but_value_errors(text: str) -> None:
    for read in (size, duration):
        try:
            assert abs(read(text)) <= LONGEST
        except ValueError:
            pass
