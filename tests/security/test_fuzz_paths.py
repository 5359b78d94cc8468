"""Fuzzed paths below a hostile root: links, `..`, long names, loops, races. Where a walk ends is where a process ends that has changed its root to it,
and nothing outside is touched. PYBUILD_LONG=1 for long runs."""

import os
import shutil
import stat
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kernel.paths import DIRECTORY, make_directories, open_beneath, open_in_root, read_regular, remove_tree, resolve
from sandbox.errors import SandboxError
from sandbox.stubs import remove_stubs
from sandbox.targets import Targets

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="the judge is a process that changes its root, which needs root")
LONG = bool(os.environ.get("PYBUILD_LONG"))
FUZZ = settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])

NAMES = st.sampled_from(["a", "b", "c", "proc", "etc", "x" * 255, "\u00e9", "a b", "..x", "\udcff", "-"])
STEPS = st.one_of(NAMES, st.sampled_from(["..", ".", "", "..", "../.."]))
PATHS = st.builds(lambda absolute, steps, end: ("/" if absolute else "") + "/".join(steps) + end, st.booleans(), st.lists(STEPS, max_size=6),
                  st.sampled_from(["", "", "/", "/."]))
TARGETS = st.one_of(PATHS, st.sampled_from(["/", ".", "..", "../../../../../../outside", "/proc/self/root", "/proc/1/cwd", "x" * 300, "a/" * 600, "loop"]))


class Node(NamedTuple):
    """kind: "d" a directory, "f" a file, "l" a link to `target`, "p" a FIFO. path: where, as names."""

    kind: str
    path: "tuple[str, ...]"
    target: str = ""


NODES = st.lists(st.builds(Node, st.sampled_from("ddflllp"), st.lists(NAMES, min_size=1, max_size=3).map(tuple), TARGETS), max_size=14)


class World:
    """A root to be walked, and something beside it that must stay as it is."""

    def __init__(self, base: Path) -> None:
        self.base, self.root, self.outside = base, base / "root", base / "outside"
        self.root.mkdir()
        self.outside.mkdir()
        (self.outside / "canary").write_text("untouched")
        self.fd = os.open(self.root, DIRECTORY)

    def build(self, nodes: "list[Node]") -> None:
        for node in nodes:
            at = self.root.joinpath(*node.path)
            try:
                if not os.path.realpath(at.parent).startswith(str(self.root)):
                    continue                              # a link would make us ourselves write outside
                at.parent.mkdir(parents=True, exist_ok=True)
                if node.kind == "d":
                    at.mkdir()
                elif node.kind == "f":
                    with open(at, "x") as file:
                        file.write(ascii(node.path))
                elif node.kind == "p":
                    os.mkfifo(at)
                else:
                    os.symlink(node.target or ".", at)
            except (OSError, RuntimeError):
                continue

    def untouched(self) -> bool:
        return listing(self.outside) == {"canary": (stat.S_IFREG | 0o644, "untouched")} and sorted(os.listdir(self.base)) == ["outside", "root"]


def listing(top: Path, *, times: bool = False) -> "dict[str, tuple[object, ...]]":
    found: "dict[str, tuple[object, ...]]" = {}
    for directory, names, files in os.walk(top):
        for name in (*names, *files):
            path = Path(directory) / name
            status = path.lstat()
            content = os.readlink(path) if path.is_symlink() else path.read_text() if stat.S_ISREG(status.st_mode) else ""
            found[str(path.relative_to(top))] = (status.st_mode, content, *((status.st_mtime_ns,) if times else ()))
    return found


@pytest.fixture
def world() -> "Iterator[Callable[[], World]]":
    """Makes one; they are gone afterwards."""
    made: list[World] = []

    def make() -> World:
        made.append(World(Path(tempfile.mkdtemp(prefix="paths-"))))
        return made[-1]

    def clear() -> None:
        for one in made:
            os.close(one.fd)
            shutil.rmtree(one.base)
        made.clear()

    make.clear = clear  # type: ignore[attr-defined]
    yield make
    clear()


def judged(root: Path, act: "Callable[[], str]") -> str:
    """What `act` says in a process whose root is `root`; "errno N" if it raises OSError."""
    read, write = os.pipe()
    pid = os.fork()
    if not pid:
        try:
            os.chroot(root)
            os.chdir("/")
            try:
                said = act()
            except OSError as error:
                said = f"errno {error.errno}"
            os.write(write, said.encode())
        finally:
            os._exit(0)
    os.close(write)
    with open(read) as file:
        said = file.read()
    os.waitpid(pid, 0)
    return said


def inode(fd: int) -> str:
    status = os.fstat(fd)
    os.close(fd)
    return f"inode {status.st_dev}:{status.st_ino}"


def attempt(act: "Callable[[], str]") -> str:
    try:
        return act()
    except OSError as error:
        return f"errno {error.errno}"


# ---------------------------------------------------------------- laws
@FUZZ
@given(nodes=NODES, path=PATHS)
def test_open_in_root_ends_where_a_process_inside_does(world: "Callable[[], World]", nodes: "list[Node]", path: str) -> None:
    here = world()
    here.build(nodes)
    ours = attempt(lambda: inode(open_in_root(here.fd, path)))
    theirs = judged(here.root, lambda: inode(os.open(path or ".", os.O_PATH)))
    assert ours == theirs
    world.clear()  # type: ignore[attr-defined]


@FUZZ
@given(nodes=NODES, path=PATHS)
def test_open_beneath_follows_nothing(world: "Callable[[], World]", nodes: "list[Node]", path: str) -> None:
    here = world()
    here.build(nodes)
    try:
        fd = open_beneath(here.fd, path)
    except OSError:
        fd = -1
    if fd >= 0:
        found = os.readlink(f"/proc/self/fd/{fd}")
        assert found == str(here.root) or found.startswith(f"{here.root}/")
        os.close(fd)
        assert not any(here.root.joinpath(*path.strip("/").split("/")[:count]).is_symlink() for count in range(1, path.count("/") + 2)
                       if ".." not in path)
    world.clear()  # type: ignore[attr-defined]


@FUZZ
@given(nodes=NODES, path=PATHS)
def test_resolve_leads_where_the_kernel_does(world: "Callable[[], World]", nodes: "list[Node]", path: str) -> None:
    """What is there is reached by its components without any link."""
    here = world()
    here.build(nodes)
    there = attempt(lambda: inode(open_in_root(here.fd, path)))
    try:
        parts = resolve(here.fd, path)
    except OSError:
        parts = []
    else:
        assert not any(part in ("..", ".", "") or "/" in part for part in parts)
        if there.startswith("inode"):
            assert attempt(lambda: inode(open_beneath(here.fd, "/".join(parts)))) == there
    world.clear()  # type: ignore[attr-defined]


@FUZZ
@given(nodes=NODES, path=PATHS)
def test_make_directories_stays_inside(world: "Callable[[], World]", nodes: "list[Node]", path: str) -> None:
    here = world()
    here.build(nodes)
    before = listing(here.root)
    made = attempt(lambda: inode(make_directories(here.fd, path)))
    assert here.untouched()
    after = listing(here.root)
    assert {name: after.get(name) for name in before} == before
    words = [path, *(node.target for node in nodes if node.kind == "l")]
    if made.startswith("inode") and not any("." in word for word in words):      # from what is missing, `..` leads back by its name
        assert made == judged(here.root, lambda: inode(os.open(path or ".", os.O_PATH | os.O_DIRECTORY)))
    world.clear()  # type: ignore[attr-defined]


@FUZZ
@given(nodes=NODES, path=PATHS)
def test_read_regular_reads_what_a_process_inside_reads(world: "Callable[[], World]", nodes: "list[Node]", path: str) -> None:
    here = world()
    here.build(nodes)
    try:
        data = read_regular(here.fd, path, 4096).decode()
    except OSError:
        data = ""                                         # among others a FIFO, which nobody may wait for
    if data:
        assert data == judged(here.root, lambda: Path(path).read_text())
    world.clear()  # type: ignore[attr-defined]


@FUZZ
@given(nodes=NODES, paths=st.lists(st.tuples(PATHS, st.booleans()), min_size=1, max_size=4))
def test_mount_points_come_and_go(world: "Callable[[], World]", nodes: "list[Node]", paths: "list[tuple[str, bool]]") -> None:
    """What mounts need is made inside, and afterwards the root is as it was, times too."""
    here = world()
    here.build(nodes)
    before = listing(here.root, times=True)
    targets = Targets(here.fd, here.fd, str(here.root))
    for path, directory in paths:
        try:
            os.close(targets.open(path, directory=directory))
        except SandboxError:
            continue
    stubs = targets.settle()
    if stubs:
        remove_stubs(stubs)
    assert here.untouched() and listing(here.root, times=True) == before
    world.clear()  # type: ignore[attr-defined]


@FUZZ
@given(nodes=NODES)
def test_remove_tree_removes_all_and_nothing_else(world: "Callable[[], World]", nodes: "list[Node]") -> None:
    here = world()
    here.build(nodes)
    base = os.open(here.base, DIRECTORY)
    remove_tree(base, "root")
    os.close(base)
    assert os.listdir(here.base) == ["outside"] and (here.outside / "canary").read_text() == "untouched"
    world.clear()  # type: ignore[attr-defined]


# ---------------------------------------------------------------- races
ROUNDS = 20_000 if LONG else 400


def _flip(root: Path, outside: Path) -> int:
    """pid of a process that swaps `root/d` between a directory and a link to the outside, until it is killed."""
    from ctypes import CDLL

    (root / "d/deep").mkdir(parents=True)
    os.symlink(outside, root / "l")
    pid = os.fork()
    if pid:
        return pid
    try:
        libc, old, new = CDLL(None), os.fsencode(root / "d"), os.fsencode(root / "l")
        while True:
            libc.renameat2(-100, old, -100, new, 2)       # RENAME_EXCHANGE
    finally:
        os._exit(1)


@pytest.mark.parametrize("act", ["open", "make", "target", "read"])
def test_race_for_a_directory(world: "Callable[[], World]", act: str) -> None:
    here = world()
    pid = _flip(here.root, here.outside)
    inside = (f"{here.root}", f"{here.root}/")
    try:
        for number in range(ROUNDS):
            try:
                if act == "open":
                    fd = open_in_root(here.fd, "/d/canary")
                elif act == "make":
                    fd = make_directories(here.fd, f"/d/new{number % 7}/x")
                elif act == "target":
                    fd = Targets(here.fd, here.fd, str(here.root)).open(f"/d/stub{number % 7}", directory=False)
                else:
                    assert read_regular(here.fd, "/d/canary", 64) != b"untouched"
                    continue
            except (OSError, SandboxError):
                continue
            found = os.readlink(f"/proc/self/fd/{fd}")
            os.close(fd)
            assert found.startswith(inside), found
    finally:
        os.kill(pid, 9)
        os.waitpid(pid, 0)
    assert here.untouched()


def test_race_for_a_tree_that_is_removed(world: "Callable[[], World]") -> None:
    for _ in range(ROUNDS // 40):
        here = world()
        pid = _flip(here.root, here.outside)
        base = os.open(here.base, DIRECTORY)
        try:
            for _ in range(5):
                try:
                    remove_tree(base, "root")
                except OSError:
                    continue                              # something appeared in it meanwhile
        finally:
            os.kill(pid, 9)
            os.waitpid(pid, 0)
            os.close(base)
        assert (here.outside / "canary").read_text() == "untouched"
        here.root.mkdir(exist_ok=True)
        world.clear()  # type: ignore[attr-defined]
