"""Programs that decide about devices: what the kernel makes of them, on a control group of version 2 of its own."""

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kernel.bpf import attach_device_program, load_device_program
from kernel.errors import SyscallFailed
from sandbox.device_program import compiled
from tests.users import needs_root

MODES = {"r": os.O_RDONLY, "w": os.O_WRONLY, "rw": os.O_RDWR}


@pytest.fixture
def group() -> Iterator[Path]:
    top = next((Path(one) for one in ("/sys/fs/cgroup/unified", "/sys/fs/cgroup") if os.path.exists(f"{one}/cgroup.procs")
                and not os.path.exists(f"{one}/devices.list") and not os.path.exists(f"{one}/tasks")), None)
    if top is None:
        pytest.skip("no control groups of version 2 are mounted")
    try:
        os.close(load_device_program(compiled(())))
    except SyscallFailed as error:
        pytest.skip(f"this kernel loads no programs: {error}")
    made = top / f"pybuild-test-{os.getpid()}"
    made.mkdir()
    try:
        yield made
    finally:
        made.rmdir()


def opened(group: Path, path: str, mode: str) -> bool:
    """Whether a process in the group may open it."""
    pid = os.fork()
    if not pid:
        try:
            (group / "cgroup.procs").write_text("0")
            os.close(os.open(path, MODES[mode]))
            os._exit(0)
        except PermissionError:
            os._exit(1)
        finally:
            os._exit(2)
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    assert status in (0, 1)
    return status == 0


def attach(group: Path, *rules: str) -> None:
    program = load_device_program(compiled(rules))
    fd = os.open(group, os.O_RDONLY)
    attach_device_program(fd, program)
    os.close(fd)
    os.close(program)


@needs_root
@pytest.mark.parametrize(("rules", "path", "mode", "found"), [
    (("c 1:3 rwm",), "/dev/null", "rw", True), (("c 1:3 rwm",), "/dev/zero", "r", False), (("c 1:3 r",), "/dev/null", "r", True),
    (("c 1:3 r",), "/dev/null", "w", False), (("c 1:3 r", "c 1:3 w"), "/dev/null", "rw", False), (("b 1:3 rwm",), "/dev/null", "r", False),
    (("b 1:3 r", "c *:5 r"), "/dev/zero", "r", True), (("c 1:* rw",), "/dev/full", "rw", True), (("c 2:* rw",), "/dev/full", "r", False),
    (("a *:* rwm",), "/dev/null", "rw", True), (("a",), "/dev/null", "rw", True), ((), "/dev/null", "r", False),
    (("c 1:3 m",), "/dev/null", "r", False), (("c 4294967295:4294967295 r", "c 1:3 r"), "/dev/null", "r", True)])
def test_a_program_permits_what_a_rule_says(group: Path, rules: tuple[str, ...], path: str, mode: str, found: bool) -> None:
    attach(group, *rules)
    assert opened(group, path, mode) == found


@needs_root
def test_two_programs_have_to_agree(group: Path) -> None:
    attach(group, "a")
    attach(group, "c 1:5 r")
    assert opened(group, "/dev/zero", "r") and not opened(group, "/dev/null", "r")


@given(rules=st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from(("*", "1", "255")), st.sampled_from(("*", "0", "9")),
                                st.sampled_from(("r", "w", "m", "rw", "rwm"))), max_size=6))
@settings(derandomize=True, max_examples=50)
def test_a_program_is_what_its_rules_say(rules: "list[tuple[str, str, str, str]]") -> None:
    """Run by hand, against the rules read naively."""
    code = compiled(f"{kind} {major}:{minor} {access}" for kind, major, minor, access in rules)
    bits = {"m": 1, "r": 2, "w": 4}
    for kind, major, minor, asked in ((1, 1, 0, 2), (2, 1, 9, 6), (2, 255, 9, 1), (2, 7, 7, 4)):
        naive = any(rule[0] in ("a", "_bc"[kind]) and rule[1] in ("*", str(major)) and rule[2] in ("*", str(minor))
                    and not asked & ~sum(bits[one] for one in rule[3]) for rule in rules)
        assert run(code, (asked << 16 | kind, major, minor)) == naive


def run(code: bytes, context: tuple[int, int, int]) -> int:
    """A machine for the few instructions that there are."""
    from struct import iter_unpack

    program = list(iter_unpack("=BBhi", code))
    registers = dict.fromkeys(range(6), 0)
    at = 0
    while True:
        operation, pair, offset, value = program[at]
        target, source = pair & 15, pair >> 4
        at += 1
        if operation == 0x61:
            registers[target] = context[offset // 4]
        elif operation == 0xBF:
            registers[target] = registers[source]
        elif operation == 0x77:
            registers[target] >>= value
        elif operation == 0x57:
            registers[target] &= value
        elif operation == 0xB7:
            registers[target] = value
        elif operation == 0x55:
            at += offset if registers[target] != value else 0
        else:
            assert operation == 0x95
            return registers[0]


def test_null_is_what_the_tests_take_it_for() -> None:
    status = os.stat("/dev/null")
    assert stat.S_ISCHR(status.st_mode) and (os.major(status.st_rdev), os.minor(status.st_rdev)) == (1, 3)
