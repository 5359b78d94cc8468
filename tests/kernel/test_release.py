import os

import pytest

from kernel.release import RELEASE, parse


@pytest.mark.parametrize(("text", "found"), [
    ("6.1.0-18-amd64", (6, 1)), ("5.10", (5, 10)), ("6.18.44-fc-v769", (6, 18)), ("7", (7, 0)), ("4.18.0-553.el8.x86_64", (4, 18)), ("6.8-rc1", (6, 8))])
def test_parse_release(text: str, found: tuple[int, int]) -> None:
    assert parse(text) == found


def test_parse_what_is_none() -> None:
    with pytest.raises(ValueError):
        parse("linux")


def test_release_is_this_machines() -> None:
    assert os.environ.get("PYBUILD_KERNEL") or os.uname().release.startswith(f"{RELEASE[0]}.{RELEASE[1]}")
