"""SOURCE_DATE_EPOCH, --reproducible and verify: the same inputs give the same image, at another time, in another place, by another user."""

import os
import tempfile
from pathlib import Path

import pytest

from tests.builder.conftest import Builds
from tests.tool import Tool

pytestmark = pytest.mark.userns

DOCKERFILE = "FROM busybox\nWORKDIR /w\nCOPY src /src\nRUN mkdir -p /a/b && cp /src/f /a/b/ && touch /a/new && echo ${SOURCE_DATE_EPOCH:-unset} > /epoch\n"


def image_id(builds: Builds, *words: str) -> str:
    return builds.ok(DOCKERFILE, *words).err.splitlines()[-1].split()[0]


def test_reproducible_is_the_same_image_in_another_store_and_time(as_root: Builds, tmp_path: Path) -> None:
    as_root.write(src__f="x")
    first = image_id(as_root, "--reproducible")
    other = tmp_path / "elsewhere"
    other.mkdir()
    tool = Tool(other / "root")
    tool.pybuild("base", "busybox", "-t", "busybox")
    there = Builds(tool, other)
    there.write(src__f="x")
    os.utime(there.context / "src/f", (5_000_000_000, 5_000_000_000))
    assert image_id(there, "--reproducible") == first
    assert there.says("cat /epoch") == "0"


def test_reproducible_is_the_same_image_for_root_and_user(as_root: Builds, user_store: Path, unprivileged: object) -> None:
    as_root.write(src__f="x")
    from tests.users import User

    assert isinstance(unprivileged, User)
    theirs = Builds(Tool(user_store, unprivileged), unprivileged.directory(Path(tempfile.mkdtemp(prefix="case-", dir=unprivileged.home))))
    theirs.write(src__f="x")
    assert image_id(as_root, "--reproducible") == image_id(theirs, "--reproducible")


def test_epoch_given_sets_times_and_reaches_run(as_root: Builds) -> None:
    as_root.write(src__f="x")
    as_root.ok(DOCKERFILE, "--build-arg", "SOURCE_DATE_EPOCH=1000000000")
    assert as_root.tool.pybuild("inspect", "--format", "{{.Created}}", "it").out == "2001-09-09T01:46:40Z\n"
    assert as_root.says("cat /epoch; stat -c %Y /a/new /a/b/f /src/f") .splitlines()[0] == "1000000000"
    done = as_root.build(DOCKERFILE, "--build-arg", "SOURCE_DATE_EPOCH=soon")
    assert done.status == 1 and "SOURCE_DATE_EPOCH is `soon`, which is no number of seconds" in done.err


def test_verify_says_what_differs(as_root: Builds) -> None:
    as_root.write(src__f="x")
    as_root.ok(DOCKERFILE, "--reproducible")
    assert "is reproducible" in as_root.tool.pybuild("verify", "it").out
    as_root.ok("FROM busybox\nRUN head -c 8 /dev/urandom > /random && echo 1 > /same\n", "--reproducible", "-t", "other")
    done = as_root.tool.run("pybuild", "verify", "-q", "other")
    assert (done.status, done.out) == (1, "layer 2: /random content\n")


def test_verify_of_an_image_that_was_not_built_here(as_root: Builds) -> None:
    as_root.tool.pybuild("import", "-", "foreign", stdin=b"\0" * 10240)
    done = as_root.tool.run("pybuild", "verify", "foreign")
    assert done.status == 1 and "`foreign` was not built here" in done.err
