"""The escape probe in a container without namespaces, as its command and executed in it: nothing gets out but what is shared."""

import os
import select
from pathlib import Path

import pytest

from sandbox import enclosed, machine, marks
from sandbox.process import Ended, Unit
from sandbox.spec import ExecSpec, Overlay, SandboxSpec
from tests.sandbox.harness import Box
from tests.security.host import World
from tests.security.test_escape import ARGV, ENV, SHARED, verdicts

pytestmark = [pytest.mark.userns, pytest.mark.skipif(os.geteuid() != 0, reason="changing the root needs root")]
MARK = marks.mark_of("0123456789abcdef" * 4)


def spec_of(box: Box, argv: tuple[str, ...]) -> SandboxSpec:
    base = box.scratch
    for name in ("upper", "work"):
        (base / name).mkdir()
    root = Overlay((str(box.rootfs),), str(base / "upper"), str(base / "work"))
    return SandboxSpec(root, argv, env=ENV, network="host", tree=str(base / "tree"))


def begun(unit: Unit) -> Unit:
    """Once its command runs."""
    while True:
        message, fds = unit.hear()
        for fd in fds:
            os.close(fd)
        if message is None:
            return unit
        assert message[0] != "failed", message


def ended(unit: Unit) -> Ended:
    assert select.select([unit.pidfd], [], [], 120)[0], "it does not end"
    return unit.bury()


def test_nothing_but_what_is_shared_gets_out_of_a_container_without_namespaces(root_box: Box, world: World, tmp_path: Path) -> None:
    spec = spec_of(root_box, (*ARGV, *world.facts(str(root_box.run_directory))))
    with open(tmp_path / "out", "wb") as out:
        ended(begun(enclosed.begin(spec, MARK, (0, out.fileno(), out.fileno()), machine.look(""), ())))
    found = verdicts((tmp_path / "out").read_text(errors="replace"))
    assert set(found) <= SHARED, found
    assert marks.marked(MARK) == []


def test_nothing_but_what_is_shared_gets_out_of_an_exec_without_namespaces(root_box: Box, world: World, tmp_path: Path) -> None:
    main = enclosed.begin(spec_of(root_box, ("/bin/sleep", "1000")), MARK, (0, 1, 2), machine.look(""), ())
    begun(main)
    try:
        with open(tmp_path / "out", "wb") as out:
            ended(begun(main.visit(ExecSpec((*ARGV, *world.facts(str(root_box.run_directory))), env=ENV), (0, out.fileno(), out.fileno()))))
        found = verdicts((tmp_path / "out").read_text(errors="replace"))
        assert set(found) <= SHARED, found
    finally:
        main.kill()
        main.bury()
    assert marks.marked(MARK) == []
