"""Reserved names: made on first use, known at no cost afterwards, made again when the machine has changed. And images of programs."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from builder.base.errors import NotUsable, ProgramMissing
from builder.base.host import Host
from builder.base.image import make_busybox, make_image, make_of_programs
from builder.base.recipe import base_recipe
from builder.base.reserved import is_reserved, resolve
from builder.progress import Event, Note
from store.root import open_root
from store.store import Store
from tests.builder.base.elves import elf, put
from tests.builder.base.test_recipe import LD, merged

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store(open_root(str(tmp_path / "store"), str(tmp_path / "run"))) as opened:
        yield opened


@pytest.fixture
def machine(tmp_path: Path) -> Path:
    root = tmp_path / "machine"
    root.mkdir()
    merged(root)
    return root


MADE = [Note("info", "`host/base` is made of this machine's files")]


def resolved(store: Store, machine: Path) -> tuple[str, list[Event]]:
    events: list[Event] = []
    return resolve(store, "host/base", events.append, str(machine)), events


@pytest.mark.parametrize(("name", "reserved"), [
    ("host/base", True), ("host/python", True), ("host/base:latest", True), ("host/base:1", False), ("host/other", False), ("base", False)])
def test_is_reserved(name: str, reserved: bool) -> None:
    assert is_reserved(name) is reserved


def test_made_on_first_use_and_known_afterwards(store: Store, machine: Path) -> None:
    first, events = resolved(store, machine)
    assert events == MADE and resolved(store, machine) == (first, [])
    assert resolve(store, "host/base:latest", root=str(machine)) == first


def test_another_store_gives_the_same_image(store: Store, machine: Path, tmp_path: Path) -> None:
    with Store(open_root(str(tmp_path / "other"), str(tmp_path / "other-run"))) as other:
        assert resolved(store, machine)[0] == resolved(other, machine)[0]


def test_a_changed_program_is_another_image(store: Store, machine: Path) -> None:
    first, _ = resolved(store, machine)
    put(machine, "/usr/bin/mawk", elf(("libc.so.6",), interpreter=LD, soname="new"))
    second, events = resolved(store, machine)
    assert second != first and events == MADE


def test_a_new_program_is_another_image(store: Store, machine: Path) -> None:
    first, _ = resolved(store, machine)
    put(machine, "/usr/bin/sed", elf(("libc.so.6",), interpreter=LD))
    assert resolved(store, machine)[0] != first


def test_what_is_not_in_the_image_does_not_matter(store: Store, machine: Path) -> None:
    first, _ = resolved(store, machine)
    put(machine, "/usr/bin/unrelated", "x")
    assert resolved(store, machine) == (first, [])


def test_a_change_of_what_was_only_looked_at_makes_nothing(store: Store, machine: Path) -> None:
    put(machine, "/etc/ld.so.cache", b"one")
    first, _ = resolved(store, machine)
    put(machine, "/etc/ld.so.cache", b"another")
    assert resolved(store, machine) == (first, [])


def test_a_touched_file_is_the_same_image(store: Store, machine: Path) -> None:
    first, _ = resolved(store, machine)
    os.utime(machine / "usr/bin/mawk", ns=(5, 5))
    second, _ = resolved(store, machine)
    assert second == first and len(store.images.list()) == 1 and len(store.snapshots.all()) == 1


def test_a_removed_image_is_made_again(store: Store, machine: Path) -> None:
    first, _ = resolved(store, machine)
    store.images.remove(first)
    assert resolved(store, machine) == (first, MADE)


def test_a_failure_leaves_nothing(store: Store, machine: Path) -> None:
    recipe = base_recipe(Host(str(machine)))
    os.unlink(machine / "usr/bin/mawk")
    with pytest.raises(NotUsable):
        make_image(store, recipe)
    assert os.listdir(store.temporary.directory) == [] and store.images.list() == ()


def test_config_of_the_image(store: Store, machine: Path) -> None:
    image = resolve(store, "host/base", root=str(machine))
    config = store.images.config(image)
    assert (config.os, config.created, len(config.diff_ids)) == ("linux", "1970-01-01T00:00:00Z", 1)
    assert config.architecture == {"x86_64": "amd64", "aarch64": "arm64"}[os.uname().machine]
    assert config.history is not None and [entry.created_by for entry in config.history] == ["pybuild base host/base"]
    runtime = store.images.runtime(image)
    assert runtime.cmd == ("/bin/sh",) and dict(runtime.labels)["io.pybuild.base"] == "host"


RESOLVE = """
import sys
from builder.base.reserved import resolve
from store.root import open_root
from store.store import Store
with Store(open_root(sys.argv[1], sys.argv[2])) as store:
    print(resolve(store, "host/base", root=sys.argv[3]))
print(*sorted(sys.modules))
"""


def process(store: Store, machine: Path) -> "subprocess.Popen[str]":
    arguments = [store.root.path, store.root.run, str(machine)]
    return subprocess.Popen([sys.executable, "-I", "-S", "-c", f"import sys; sys.path.insert(0, {str(ROOT)!r})\n{RESOLVE}", *arguments],
                            stdout=subprocess.PIPE, text=True, cwd=ROOT)


def test_two_processes_at_once_make_it_once(tmp_path: Path) -> None:
    root = open_root(str(tmp_path / "store"), str(tmp_path / "run"))
    machine = tmp_path / "machine"
    machine.mkdir()
    merged(machine)
    program = RESOLVE.replace("resolve(store, \"host/base\", root", "resolve(store, \"host/base\", lambda event: print(\"made\"), root")
    command = [sys.executable, "-c", program, root.path, root.run, str(machine)]
    running = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT, env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)})
               for _ in range(3)]
    outputs = [child.communicate(timeout=60)[0].splitlines() for child in running]
    images = [line for lines in outputs for line in lines if line.startswith("sha256:")]
    assert len(images) == 3 and len(set(images)) == 1 and sum("made" in lines for lines in outputs) == 1
    with Store(root) as store:
        assert len(store.snapshots.all()) == 1


def test_known_images_cost_no_imports(store: Store, machine: Path) -> None:
    resolve(store, "host/base", root=str(machine))
    child = process(store, machine)
    modules = set(child.communicate(timeout=60)[0].splitlines()[-1].split())
    costly = {"typing", "re", "enum", "json", "msgspec", "subprocess", "pathlib", "contextlib", "argparse", "dataclasses", "logging", "ctypes"}
    assert child.returncode == 0 and not modules & (costly | {"builder.base.recipe", "builder.base.image", "builder.base.host"})


def test_make_of_programs_has_a_name(store: Store) -> None:
    image = make_of_programs(store, "tools:1", ("awk",), path=("/usr/bin/", "relative"))
    record = store.images.resolve("tools:1")
    assert record is not None and record.id == image


def test_make_of_programs_that_are_missing(store: Store) -> None:
    with pytest.raises(ProgramMissing):
        make_of_programs(store, "tools:1", ("no-such-program",))
    assert store.images.resolve("tools:1") is None


def test_make_busybox(store: Store) -> None:
    if not Host().is_executable("/bin/busybox"):
        pytest.skip("busybox is not installed")
    assert store.images.runtime(make_busybox(store, "busybox")).cmd == ("sh",)
