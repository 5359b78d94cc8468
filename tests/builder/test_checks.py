"""The build checks at a build: told when it ends, kept for the next one, errors where the file says so."""

import json

from tests.builder.conftest import Builds

DOCKERFILE = "FROM busybox\nENV a b\nEXPOSE 80/TCP\n"
TOLD = ("\n2 warnings found (`pybuild --check` shows where):\n"
        " - LegacyKeyValueFormat: the old form of ENV: `ENV name=value` is the usual one (line 2)\n"
        " - ExposeProtoCasing: the protocol of `80/TCP` has capitals (line 3)\n")


def test_a_build_and_its_cached_rebuild_tell_the_warnings(builds: Builds) -> None:
    assert TOLD in builds.ok(DOCKERFILE).err
    assert TOLD in builds.ok(DOCKERFILE).err
    assert TOLD in builds.ok(DOCKERFILE, "--no-cache").err


def test_a_build_that_fails_tells_the_warnings_before_the_error(as_root: Builds) -> None:
    done = as_root.build(f"{DOCKERFILE}RUN --network=none false\n")
    assert done.status == 1
    assert 0 < done.err.index(TOLD) < done.err.index("error: the command")


def test_warnings_are_of_the_dockerfile_that_was_named(as_root: Builds) -> None:
    as_root.write(Other=DOCKERFILE)
    done = as_root.ok("FROM busybox\n", "-f", str(as_root.context / "Other"), "--progress", "json")
    found = [event for event in map(json.loads, done.err.splitlines()) if event["event"] == "CheckWarning"]
    assert [(event["rule"], event["line"], event["file"].rpartition("/")[2]) for event in found] == [
        ("LegacyKeyValueFormat", 2, "Other"), ("ExposeProtoCasing", 3, "Other")]


def test_rawjson_has_the_warnings(as_root: Builds) -> None:
    lines = [json.loads(line) for line in as_root.ok(DOCKERFILE, "--progress", "rawjson").err.splitlines()]
    found = [warning for line in lines for warning in line.get("warnings", ())]
    assert [warning["range"][0]["start"]["line"] for warning in found] == [2, 3]
    assert found[0]["url"].endswith("/legacy-key-value-format/")


def test_a_quiet_build_tells_no_warnings(as_root: Builds) -> None:
    assert "warning" not in as_root.ok(DOCKERFILE, "-q").err


def test_warnings_that_are_skipped_are_not_told(as_root: Builds) -> None:
    assert "found" not in as_root.ok(f"# check=skip=all\n{DOCKERFILE}").err
    assert "found" not in as_root.ok(DOCKERFILE, "--build-arg", "BUILDKIT_DOCKERFILE_CHECK=skip=all").err
    assert "1 warning found" in as_root.ok(DOCKERFILE.replace("ENV", "# check=skip=LegacyKeyValueFormat\nENV")).err
    assert "found" not in as_root.ok("FROM busybox\nENV a=b\n").err


def test_an_override_that_makes_findings_errors_is_named(as_root: Builds) -> None:
    done = as_root.build(DOCKERFILE, "--build-arg", "BUILDKIT_DOCKERFILE_CHECK=error=true")
    assert done.status == 1
    assert "BUILDKIT_DOCKERFILE_CHECK says `error=true`" in done.err
