"""A miss names its cause: each case changes exactly one thing; and reverting what is named makes the step hit again."""

import json
import os
import random
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.builder.conftest import Builds

pytestmark = pytest.mark.userns

DOCKERFILE = """FROM busybox
ARG VERSION=1.2
ARG UNUSED=a
ENV MODE=x
WORKDIR /w
COPY app /app
COPY notes.txt *.cfg /etc/app/
RUN echo $VERSION $MODE > /made
"""


def prepare(builds: Builds) -> None:
    builds.write(app__x_dot_py="one", app__sub__y_dot_py="two", notes_dot_txt="n", a_dot_cfg="c", _dot_dockerignore="*.log\n", b_dot_log="")
    os.symlink("x.py", builds.context / "app/link")
    builds.ok(DOCKERFILE)


def explained(builds: Builds, dockerfile: str = DOCKERFILE, *words: str) -> dict[str, str]:
    """First cause of each step that misses."""
    (builds.context / "Dockerfile").write_text(dockerfile)
    steps = json.loads(builds.tool.pybuild("explain", "--format", "json", *words, str(builds.context)).out)
    return {s["step"].partition("] ")[2].split()[0] + " " + s["step"].partition("] ")[2].split()[1]: s["causes"][0] for s in steps if s["verdict"] == "miss"}


def relink(path: Path, target: str) -> None:
    path.unlink()
    path.symlink_to(target)


CHANGES: dict[str, tuple[Callable[[Builds], object], dict[str, str]]] = {
    "content": (lambda b: (b.context / "app/x.py").write_text("changed"), {"COPY app": "app/x.py content changed"}),
    "mode": (lambda b: (b.context / "app/sub/y.py").chmod(0o664), {"COPY app": "app/sub/y.py mode 644 -> 664"}),
    "directory mode": (lambda b: (b.context / "app/sub").chmod(0o700), {"COPY app": "app/sub mode 755 -> 700 (directory)"}),
    "new file": (lambda b: b.write(app__z_dot_py=""), {"COPY app": "app/z.py is new"}),
    "gone": (lambda b: (b.context / "app/x.py").unlink(), {"COPY app": "app/x.py is gone"}),
    "kind": (lambda b: relink(b.context / "app/x.py", "y"), {"COPY app": "app/x.py is a symbolic link now, was a file"}),
    "link": (lambda b: relink(b.context / "app/link", "sub"),
             {"COPY app": "app/link leads to `sub` now, led to `x.py`"}),
    "wildcard": (lambda b: (b.context / "a.cfg").write_text("d"), {"COPY notes.txt": "a.cfg content changed"}),
    "ignored": (lambda b: b.write(_dot_dockerignore="*.log\n**/y.py\n"), {"COPY app": "app/sub/y.py is excluded now, by `**/y.py` of .dockerignore"}),
    "unselected": (lambda b: b.write(other_dot_txt="x", b_dot_log="y"), {}),
    "touched": (lambda b: os.utime(b.context / "app/x.py", (5, 5)), {}),
}


@pytest.mark.parametrize("change", CHANGES)
def test_explain_changed_context(as_root: Builds, change: str) -> None:
    prepare(as_root)
    apply, expected = CHANGES[change]
    apply(as_root)
    assert explained(as_root) == expected


def test_explain_tells_what_is_excluded_before_the_ignore_file_that_says_so(as_root: Builds) -> None:
    as_root.write(f="1", g="2", _dot_dockerignore="*.log\n")
    as_root.ok(text := "FROM busybox\nCOPY . /app\n")
    as_root.write(_dot_dockerignore="*.log\ng\n")
    assert explained(as_root, text) == {"COPY .": "g is excluded now, by `g` of .dockerignore (+1 more)"}


def test_explain_names_the_paths_of_copy_parents(as_root: Builds) -> None:
    as_root.write(a__one__f="1", a__two__f="1")
    as_root.ok(text := "FROM busybox\nCOPY --parents a/*/f /p/\n")
    as_root.write(a__two__f="2")
    assert explained(as_root, text) == {"COPY --parents": "a/two/f content changed"}
    as_root.ok(text)
    (as_root.context / "a/one").chmod(0o700)
    assert explained(as_root, text) == {"COPY --parents": "a/one mode 755 -> 700 (directory)"}


@pytest.mark.parametrize(("words", "expected"), [
    (("--build-arg", "VERSION=1.3"), {"RUN echo": "ARG VERSION 1.2 -> 1.3"}),
    (("--build-arg", "UNUSED=b"), {"RUN echo": "ARG UNUSED a -> b (unused by the command)"}),
    (("--add-host", "h:10.0.0.1"), {"RUN echo": "--add-host none -> h:10.0.0.1"}),
    (("--network", "none"), {"RUN echo": "--network default -> none"}),
    (("--no-cache-filter", "0"), {"WORKDIR /w": "--no-cache-filter"}), (("--no-cache",), {"WORKDIR /w": "--no-cache"})])
def test_explain_changed_options(as_root: Builds, words: tuple[str, ...], expected: dict[str, str]) -> None:
    prepare(as_root)
    assert explained(as_root, DOCKERFILE, *words) == expected


@pytest.mark.parametrize(("old", "new", "expected"), [
    ("MODE=x", "MODE=y", {"RUN echo": "ENV MODE x -> y"}),
    ("> /made", "> /made2", {"RUN echo": "the command changed: was `/bin/sh -c echo $VERSION $MODE > /made`"}),
    ("COPY app /app", "COPY --chmod=600 app /app", {"COPY --chmod=600": "--chmod none -> 600"}),
    ("COPY app /app", "COPY --chown=1:2 app /app", {"COPY --chown=1:2": "--chown none -> 1:2"}),
    ("COPY app /app", "RUN --network=none true\nCOPY app /app", {"RUN --network=none": "the build before had no such step"}),
    ("RUN echo", "RUN --mount=type=tmpfs,target=/t echo", {"RUN --mount=type=tmpfs,target=/t": "mount /t is new"}),
    ("WORKDIR /w", "WORKDIR /v", {"WORKDIR /v": "path /w -> /v"}),
    ("WORKDIR /w\n", "", {"COPY app": "follows the base image `busybox`, and followed another step"}),
    ("ENV MODE=x", "ENV MODE=x\nUSER 5", {"WORKDIR /w": "USER none -> 5"})])
def test_explain_changed_dockerfile(as_root: Builds, old: str, new: str, expected: dict[str, str]) -> None:
    prepare(as_root)
    found = explained(as_root, DOCKERFILE.replace(old, new))
    assert found.keys() == expected.keys()
    assert all(found[step].startswith(cause) for step, cause in expected.items())


@pytest.mark.parametrize(("old", "new", "expected"), [
    ("target=/m", "target=/m,rw", "mount /m read_only true -> false"), ("target=/m", "target=/n", "mount /m is gone"),
    ("mode=0700", "mode=0701", "mount /c mode 700 -> 701"), ("size=1m", "size=2m", "mount /t size 1048576 -> 2097152"),
    ("<<here", "--chown=1 <<here", "--chown none -> 1"), ("inside", "other", "heredoc here changed")])
def test_explain_changed_details(as_root: Builds, old: str, new: str, expected: str) -> None:
    as_root.write(a__f="x")
    text = ("FROM busybox\nCOPY <<here /x\ninside\nhere\nRUN --network=none --mount=source=a,target=/m --mount=type=cache,target=/c,mode=0700 "
            "--mount=type=tmpfs,target=/t,size=1m true\n")
    as_root.ok(text)
    assert expected in explained(as_root, text.replace(old, new)).values()


def test_explain_tells_no_secret(as_root: Builds) -> None:
    text = "FROM busybox\nARG TOKEN={}\nARG URL=https://{}@host/\nRUN echo $TOKEN > /made\n"
    as_root.write(f="1")
    as_root.ok(text.format("s3cret", "s3cret"))
    (as_root.context / "Dockerfile").write_text(text.format("other", "s3cret:x"))
    said = as_root.tool.pybuild("explain", str(as_root.context)).out
    assert "ARG TOKEN changed" in said
    assert "ARG URL https://xxxxx@host/ -> https://xxxxx:xxxxx@host/" in said
    assert "s3cret" not in said


def test_explain_first_build_and_moved_base(as_root: Builds) -> None:
    as_root.write(f="1")
    name = f"base-{os.urandom(4).hex()}"
    for number in ("1", "2"):
        as_root.ok(f"FROM busybox\nRUN echo {number} > /1\n", "-t", f"{name}:{number}")
    as_root.tool.pybuild("tag", f"{name}:1", name)
    assert explained(as_root, f"FROM {name}\nUSER 7\nWORKDIR /{name}\n") == {f"WORKDIR /{name}": "the build before had no such step"}
    as_root.ok(f"FROM {name}\nCOPY f /\n")
    as_root.tool.pybuild("tag", f"{name}:2", name)
    assert explained(as_root, f"FROM {name}\nCOPY f /\n") == {"COPY f": f"base image `{name}` moved"}


def test_explain_counts_further_files_and_gives_details(as_root: Builds) -> None:
    prepare(as_root)
    for name in ("x.py", "sub/y.py"):
        (as_root.context / "app" / name).write_text("changed")
    as_root.write(app__new="1")
    steps = json.loads(as_root.tool.pybuild("explain", "--format", "json", str(as_root.context)).out)
    miss = next(step for step in steps if step["verdict"] == "miss")
    assert miss["causes"] == ["app/new is new (+2 more)"]
    assert miss["details"] == [{"kind": "file", "text": "app/new is new", "path": "app/new", "more": 2}]
    assert "MISS\n    app/new is new (+2 more)\n" in as_root.tool.pybuild("explain", str(as_root.context)).out


MOUNTED = "FROM busybox AS one\nRUN echo 1 > /f\nFROM busybox\nRUN --mount=target=/m,source=app --mount=from=one,target=/n cat /m/x.py /n/f > /made\n"


def test_explain_what_mounts_take(as_root: Builds) -> None:
    prepare(as_root)
    as_root.ok(MOUNTED)
    (as_root.context / "app/x.py").write_text("changed")
    assert explained(as_root, MOUNTED) == {"RUN --mount=target=/m,source=app": "app/x.py content changed"}


def test_explain_what_another_stage_yields(as_root: Builds) -> None:
    file = "FROM busybox AS one\nRUN --network=none echo {} > /f; echo k > /k\nFROM busybox\nCOPY --from=one /f /g\n"
    as_root.write(f="1")
    as_root.ok(file.format("1"))
    done = as_root.ok(file.format("2"), "--explain")
    assert "MISS: the command changed: was `/bin/sh -c echo 1 > /f; echo k > /k`" in done.err
    assert "f content changed" in done.err


def test_explain_named_context(as_root: Builds, tmp_path: Path) -> None:
    (tmp_path / "named").mkdir()
    (tmp_path / "named/file").write_text("1")
    as_root.write(f="1")
    words = ("--build-context", f"data={tmp_path}/named")
    as_root.ok("FROM scratch\nCOPY --from=data file /\n", *words)
    (tmp_path / "named/file").write_text("2")
    assert explained(as_root, "FROM scratch\nCOPY --from=data file /\n", *words) == {"COPY --from=data": "file content changed"}


def test_explain_while_building_says_miss_and_hit(as_root: Builds) -> None:
    prepare(as_root)
    (as_root.context / "app/x.py").write_text("changed")
    done = as_root.ok(DOCKERFILE, "--explain")
    assert "MISS: app/x.py content changed" in done.err and "[2/5] WORKDIR /w" in done.err and "#1 CACHED" in done.err


@pytest.mark.parametrize("seed", range(6))
def test_reverting_the_named_cause_makes_the_step_hit_again(as_root: Builds, seed: int) -> None:
    rnd = random.Random(seed)
    prepare(as_root)
    backup = as_root.context.parent / "backup"
    shutil.copytree(as_root.context / "app", backup, symlinks=True)
    path = rnd.choice(["x.py", "sub/y.py", "new.py"])
    target = as_root.context / "app" / path
    match rnd.choice(["write", "remove", "chmod"]):
        case "remove" if target.exists():
            target.unlink()
        case "chmod" if target.exists():
            target.chmod(0o600)
        case _:
            target.write_text("other")
    cause = explained(as_root)["COPY app"]
    named = cause.split()[0]
    assert named == f"app/{path}"
    shutil.rmtree(target) if target.is_dir() else target.unlink(missing_ok=True)
    if (backup / path).exists():
        shutil.copy2(backup / path, target)
    assert explained(as_root) == {}
