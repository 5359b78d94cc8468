"""A Dockerfile with several mistakes is told of all of them at once, each at its place, before anything runs."""

import pytest

from tests.builder.conftest import Builds

pytestmark = pytest.mark.userns

DOCKERFILE = """FROM scratch AS a
EXPOSE 99999
USER "q
FROM scratch AS b
STOPSIGNAL foo
FROM a AS on-what-is-wrong
EXPOSE never-told
FROM scratch
COPY --from=a /x /
COPY --from=b /x /
COPY --chmod=9 x /
"""


def test_mistakes_of_all_stages_are_told_once(as_root: Builds) -> None:
    done = as_root.build(DOCKERFILE)
    assert done.status == 1
    assert [line.rpartition("Dockerfile:")[2] for line in done.err.splitlines() if "-->" in line] == ["2:8", "3:6", "5:12", "11:14"]


def test_a_mistake_of_a_trigger_names_the_line_that_fires_it(as_root: Builds) -> None:
    done = as_root.build("FROM scratch AS a\nONBUILD EXPOSE x\n\nFROM a\n")
    assert done.status == 1
    assert " --> ONBUILD of a:1:8\n" in done.err
    assert "help: fired by " in done.err and "Dockerfile:4\n" in done.err
