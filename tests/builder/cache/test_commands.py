"""`pybuild cache ..`: the commands, as a user runs them."""

import json
import sqlite3
from contextlib import closing

import pytest

from tests.builder.cache.conftest import Machine, Machines, ran

pytestmark = pytest.mark.userns

DOCKERFILE = """FROM busybox
WORKDIR /app
COPY src /app/
RUN --mount=type=cache,id=npm,target=/m echo kept > /m/file && echo "a step" > /app/made
"""


@pytest.fixture
def machine(machines: Machines) -> Machine:
    machines.write(src="one")
    machine = machines.new()
    machine.ok(DOCKERFILE)
    return machine


def rows(machine: Machine, *words: str) -> list[dict[str, str]]:
    return [json.loads(line) for line in machine.tool.pybuild("cache", "ls", "--format", "json", *words).out.splitlines()]


def test_ls_lists_steps_and_mounts(machine: Machine) -> None:
    found = {(row["Type"], row["Text"]) for row in rows(machine, "--no-trunc")}
    assert {("step", "WORKDIR /app"), ("step", "COPY .. /app/"), ("mount", "npm")} <= found
    assert any(kind == "step" and text.startswith("RUN echo kept") for kind, text in found)


def test_ls_filters(machine: Machine) -> None:
    assert [row["Text"] for row in rows(machine, "--filter", "type=mount")] == ["npm"]
    assert "there is no filter `colour`" in machine.tool.run("pybuild", "cache", "ls", "--filter", "colour=red").err


def test_ls_table_and_quiet(machine: Machine) -> None:
    assert machine.tool.pybuild("cache", "ls").out.splitlines()[0].split() == ["ID", "TYPE", "SIZE", "LAST", "USED", "STEP", "OR", "MOUNT"]
    assert all(len(line) == 12 for line in machine.tool.pybuild("cache", "ls", "-q", "-f", "type=step").out.splitlines())


def test_inspect_says_what_the_key_was_made_of(machine: Machine) -> None:
    copy = next(row["ID"] for row in rows(machine) if row["Text"].startswith("COPY"))
    (found,) = json.loads(machine.tool.pybuild("cache", "inspect", copy).out)
    assert found["Op"] == "CopyOp" and found["Fields"]["destination"] == "/app/" and len(found["Inputs"]) == 2
    assert machine.tool.pybuild("cache", "inspect", "--format", "{{.Name}}", "npm").out == "npm\n"


def test_inspect_of_nothing_is_one_clear_error(machine: Machine) -> None:
    done = machine.tool.run("pybuild", "cache", "inspect", "ffffffffffff")
    assert done.status == 1 and "error: the build cache has no `ffffffffffff`" in done.err
    assert machine.tool.run("pybuild", "cache", "inspect").status == 2


def test_rm_makes_a_step_run_again(machine: Machine) -> None:
    run = next(row["ID"] for row in rows(machine) if row["Text"].startswith("RUN"))
    machine.tool.pybuild("rmi", "-f", "it")
    assert "Total reclaimed space" in machine.tool.pybuild("cache", "rm", run).out
    assert [label.split()[0] for label in ran(machine.ok(DOCKERFILE))] == ["RUN"]


def test_rm_of_a_mount_and_of_everything(machine: Machine) -> None:
    machine.tool.pybuild("cache", "rm", "npm")
    assert rows(machine, "--filter", "type=mount") == []
    machine.tool.pybuild("cache", "rm", "--all")
    assert rows(machine) == []
    assert machine.says("cat /app/made") == "a step"


def test_rm_without_a_word_is_misuse(machine: Machine) -> None:
    assert machine.tool.run("pybuild", "cache", "rm").status == 2


def test_export_and_import_everything(machine: Machine, machines: Machines) -> None:
    place = machines.context.parent / "all"
    exported = machine.tool.pybuild("cache", "export", f"type=local,dest={place},mounts=npm")
    assert "new blobs" in exported.out
    other = machines.new()
    done = other.tool.pybuild("cache", "import", f"type=local,src={place}")
    assert "1 cache mounts" in done.out
    assert ran(other.ok(DOCKERFILE)) == []
    assert {row["Text"] for row in rows(machine)} <= {row["Text"] for row in rows(other)}
    machines.write(src="two")
    explained = other.ok(DOCKERFILE.replace("echo kept", "cat /m/file && echo kept"), "--explain")
    assert "kept" in [line.split(" ", 2)[-1] for line in explained.err.splitlines()]
    assert "the command changed" in explained.err or "src content changed" in explained.err


def test_export_of_steps_whose_build_was_cut_off(machine: Machine, machines: Machines) -> None:
    with closing(sqlite3.connect(f"{machine.root}/index.db")) as index, index:
        index.execute("UPDATE record SET diff_id = ''")                      # as a build leaves it that was killed between two steps
    place = machines.context.parent / "all"
    machine.tool.pybuild("cache", "export", f"type=local,dest={place}")
    other = machines.new()
    assert other.tool.pybuild("cache", "import", f"type=local,src={place}").out.split(": ")[1].startswith("3 steps")


def test_inspect_a_cache_elsewhere(machine: Machine, machines: Machines) -> None:
    place = machines.context.parent / "all"
    machine.ok(DOCKERFILE, f"--cache-to=type=local,dest={place},mode=max,mounts=npm")
    (found,) = json.loads(machine.tool.pybuild("cache", "inspect", "--from", f"type=local,src={place}").out)
    assert [step["Step"].split("] ")[-1].split()[0] for step in found["Steps"]] == ["WORKDIR", "COPY", "RUN"]
    assert found["Mounts"][0]["ID"] == "npm" and found["History"]


def test_import_from_nowhere_is_one_clear_error(machine: Machine) -> None:
    done = machine.tool.run("pybuild", "cache", "import", "type=local,src=/nonexistent/cache")
    assert done.status == 1 and done.err.count("error:") == 1 and "there is no cache at" in done.err


def test_an_address_that_cannot_be_is_one_clear_error(machine: Machine) -> None:
    for words in (("export", "type=inline"), ("import", "type=nope"), ("export", "type=local")):
        done = machine.tool.run("pybuild", "cache", *words)
        assert done.status == 1 and done.err.startswith("error: ") and "Traceback" not in done.err
