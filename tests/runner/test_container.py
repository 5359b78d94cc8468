"""What a spec and its image come to, and the records of containers."""

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from runner.container import PATH, Container, ContainerSpec, File, Mount, merge_env, process_of
from runner.endpoint import Endpoint, PortMapping
from runner.form import from_plain, kinds, to_plain
from runner.records import Records
from runner.upkeep import SECOND, Healthcheck, Restart
from runner.volume import Volume
from sandbox.spec import Limits
from store.images import Runtime

IMAGE = Runtime(("/entry",), ("arg",), ("A=1", "PATH=/image"), "app", "/srv", ("/data",), ("80/tcp",), "SIGUSR1", 7,
                (("CMD", "probe"), 5 * SECOND, 0, 0, 0, 4), (("k", "image"), ("other", "x")), "linux/amd64", ("/lower",))
PLAIN = Runtime((), (), (), "", "", (), (), "", -1, None, (), "linux/amd64", ("/lower",))


def container(spec: ContainerSpec, name: str = "name", id: str = "ab" * 32) -> Container:
    return Container(id, name, 5, "sha256:" + "0" * 64, spec, IMAGE)       # type: ignore[arg-type]


def test_image_decides_what_nobody_says() -> None:
    process = process_of(ContainerSpec("i"), IMAGE)
    assert process.argv == ("/entry", "arg")
    assert (process.user, process.working_dir, process.stop_signal, process.stop_timeout) == ("app", "/srv", "SIGUSR1", 7)
    assert process.healthcheck == Healthcheck(("CMD", "probe"), 5 * SECOND, retries=4)


def test_command_replaces_the_images() -> None:
    assert process_of(ContainerSpec("i", cmd=("x", "y")), IMAGE).argv == ("/entry", "x", "y")


def test_entrypoint_takes_the_images_command_away() -> None:
    assert process_of(ContainerSpec("i", entrypoint=("/mine",)), IMAGE).argv == ("/mine",)
    assert process_of(ContainerSpec("i", entrypoint=(), cmd=("sh",)), IMAGE).argv == ("sh",)


def test_defaults_without_an_image_that_says_anything() -> None:
    process = process_of(ContainerSpec("i"), PLAIN)
    assert (process.argv, process.working_dir, process.stop_signal, process.stop_timeout) == ((), "/", "SIGTERM", 10)
    assert process.env == (f"PATH={PATH}",)


def test_the_images_directory_is_taken_for_what_it_says() -> None:
    found = [process_of(ContainerSpec("i"), IMAGE._replace(cwd=cwd)).working_dir for cwd in ("/a/../b/./c/", "//x", "rel/../y", "/../..", "")]
    assert found == ["/b/c", "/x", "/y", "/", "/"]


def test_labels_of_both_with_the_specs_winning() -> None:
    assert dict(process_of(ContainerSpec("i", labels=(("k", "own"),)), IMAGE).labels) == {"k": "own", "other": "x"}


def test_healthcheck_takes_what_it_leaves_out_from_the_image() -> None:
    merged = process_of(ContainerSpec("i", healthcheck=Healthcheck(retries=9)), IMAGE).healthcheck
    assert merged == Healthcheck(("CMD", "probe"), 5 * SECOND, retries=9)
    assert process_of(ContainerSpec("i", healthcheck=Healthcheck(("NONE",))), IMAGE).healthcheck is None


def test_ports_of_image_spec_and_published() -> None:
    spec = ContainerSpec("i", exposed=("90/udp",), ports=(PortMapping(443),))
    assert process_of(spec, IMAGE).exposed == ("443/tcp", "80/tcp", "90/udp")


def test_environment_keeps_its_order_and_loses_what_is_taken_away() -> None:
    assert merge_env(("PATH=/x", "A=1", "B=2"), ("B=3", "A", "C=4")) == ("PATH=/x", "B=3", "C=4")


SPECS = st.builds(
    ContainerSpec, st.text(max_size=5), name=st.text(max_size=5), cmd=st.none() | st.lists(st.text(max_size=4), max_size=3).map(tuple),
    mounts=st.lists(st.builds(Mount, st.sampled_from(("bind", "tmpfs")), st.text(max_size=5), readonly=st.booleans()), max_size=2).map(tuple),
    files=st.lists(st.builds(File, st.text(max_size=5), content=st.binary(max_size=9)), max_size=2).map(tuple), tty=st.booleans(),
    endpoints=st.lists(st.builds(Endpoint, st.text(max_size=5)), max_size=2).map(tuple), limits=st.builds(Limits, memory=st.integers(0, 1 << 40)),
    restart=st.builds(Restart, st.sampled_from(("no", "always")), st.integers(0, 5)))
KINDS = kinds(ContainerSpec, Mount, File, Endpoint, Limits, Restart)


@given(SPECS)
def test_form_brings_a_value_back(spec: ContainerSpec) -> None:
    assert from_plain(to_plain(spec), KINDS) == spec


def test_form_leaves_defaults_out_and_ignores_unknown_fields() -> None:
    plain = to_plain(Restart("always"))
    assert plain == {"": "Restart", "name": "always"}
    assert from_plain({**plain, "invented": 5}, KINDS) == Restart("always")


def test_records_find_by_name_id_and_beginning(tmp_path: Path) -> None:
    records = Records(str(tmp_path))
    first, second = container(ContainerSpec("i"), "one", "ab" * 32), container(ContainerSpec("i"), "two", "ac" * 32)
    records.add(first)
    records.add(second)
    assert records.named("one") == first
    assert records.container("ac" * 32) == second
    assert records.beginning("a") == (first.id, second.id) and records.beginning("ab") == (first.id,)
    assert records.remove(first.id) and not records.remove(first.id)
    assert records.named("one") is None


def test_a_record_that_could_not_be_removed_counts_for_nothing(tmp_path: Path) -> None:
    records = Records(str(tmp_path))
    old, new = container(ContainerSpec("i"), "one", "ab" * 32), container(ContainerSpec("i"), "one", "ac" * 32)
    records.add(old)
    records.use_volume("data", old.id)
    (tmp_path / "containers" / f"{old.id}.gone").mkdir(parents=True)
    assert records.named("one") is records.container(old.id) is None
    assert (records.ids(), records.containers(), records.beginning("ab"), records.users("data")) == (set(), (), (), ())
    records.add(new)
    assert records.containers() == (new,)


def test_records_know_who_uses_a_volume(tmp_path: Path) -> None:
    records = Records(str(tmp_path))
    records.add_volume(Volume("data", 5))
    records.use_volume("data", "b")
    records.use_volume("data", "a")
    records.use_volume("data", "a")
    assert records.users("data") == ("a", "b") and records.used_by("a") == ("data",)
    records.remove("a")
    assert records.users("data") == ("b",)
    assert records.volume("data") == Volume("data", 5) and records.volumes() == (Volume("data", 5),)


def test_records_of_a_later_version_are_refused(tmp_path: Path) -> None:
    import sqlite3

    import pytest

    from runner.errors import RecordsTooNew

    records = Records(str(tmp_path))
    assert records.containers() == ()
    records.close()
    with sqlite3.connect(tmp_path / "runner.db") as db:
        db.execute("PRAGMA user_version=99")
    with pytest.raises(RecordsTooNew, match="version 99"):
        Records(str(tmp_path)).containers()
