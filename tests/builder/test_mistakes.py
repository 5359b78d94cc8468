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


@pytest.mark.parametrize(("line", "place"), [
    ("COPY f nothing /x", "2:8"), ("COPY --chown=0 ./nothing/at/all /x", "2:18"), ('COPY ["nothing", "/x"]', "2:8"),
    ("COPY \\\n  f \\\n  nothing /x/", "4:3"), ("RUN --mount=source=nothing,target=/x y", "2:20"), ("COPY --from=b nothing /", "2:15"),
])
def test_a_missing_source_is_pointed_at(as_root: Builds, line: str, place: str) -> None:
    as_root.write(f="1")
    done = as_root.build(f"FROM busybox AS a\n{line}\n" if "=b" not in line else f"FROM scratch\n{line}\n", "--build-context", f"b={as_root.context}")
    assert done.status == 1
    assert f"Dockerfile:{place}\n" in done.err


def test_a_missing_image_is_pointed_at(as_root: Builds) -> None:
    done = as_root.build("FROM busybox AS biuld\nFROM scratch\nCOPY --from=localhost:1/build /x /\n")
    assert done.status == 1
    assert "Dockerfile:3:13\n" in done.err


@pytest.mark.parametrize("option", ["foo=bar", "skip=all;foo", "error=perhaps"])
def test_a_check_that_does_not_read_fails_the_build(as_root: Builds, option: str) -> None:
    done = as_root.build(f"# check={option}\nFROM scratch\n")
    assert done.status == 1
    assert "Dockerfile:1:1\n" in done.err


def test_findings_fail_a_build_that_says_so(as_root: Builds) -> None:
    as_root.write(_dot_dockerignore="left-out\n", f="1")
    text = "# check=error=true\nFROM scratch AS unused\nCOPY $NOTHING /\nFROM scratch AS A\nCOPY f left-out* $NOT /x/\n"
    done = as_root.build(text)
    assert done.status == 1
    assert [line.split("(")[1] for line in done.err.splitlines() if line.startswith("error: ")] == ["StageNameCasing)", "UndefinedVar)"]
    as_root.ok(text.replace("error=true", "error=true;skip=UndefinedVar,StageNameCasing"))
    as_root.ok(text.replace("error=true", "error=false"))
    assert as_root.build(text.replace("# check", "#"), "--build-arg", "BUILDKIT_DOCKERFILE_CHECK=error=true").status == 1
    assert "is left out by the ignore file" in as_root.build("# check=error=true\nFROM scratch\nCOPY left-out f /x/\n").err


def test_a_checked_build_knows_the_variables_of_its_base(as_root: Builds) -> None:
    as_root.write(f="1")
    as_root.ok("FROM scratch\nENV PLACE=/there\n", "-t", "checked-base")
    as_root.ok("# check=error=true\nFROM checked-base\nCOPY f $PLACE/f\n")


def test_a_frontend_that_is_not_run_is_told_of(as_root: Builds) -> None:
    assert "the frontend `example.org/mine:2` is not run" in as_root.ok("# syntax=example.org/mine:2\nFROM scratch\n").err
    assert "is not run" not in as_root.ok("# syntax=docker/dockerfile:1.7-labs\nFROM scratch\n").err
    done = as_root.build("FROM scratch\nINCLUDE nothing\n", "--build-arg", "BUILDKIT_SYNTAX=pybuild")
    assert "`nothing` cannot be read" in done.err
