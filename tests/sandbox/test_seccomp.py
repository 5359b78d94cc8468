"""The compiler against its meaning, our profile against the usual one, JSON profiles, and the numbers against the kernel's headers."""

import json
import re
import struct
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox import capabilities, seccomp_json
from sandbox.errors import InvalidSpec
from sandbox.seccomp import ALLOW, ARCHITECTURES, ENOSYS, EPERM, ERRNO, KILL_PROCESS, Condition, Rule, answer, compile
from sandbox.seccomp_profile import UNKNOWN, default_program, default_rules, numbered
from sandbox.syscall_numbers import numbers

# the profile that podman and others install (package golang-github-containers-common); a copy of it is not ours to carry
USUAL = Path("/usr/share/containers/seccomp.json")
MACHINES = ("x86_64", "aarch64")
NO_ARGUMENTS = (0,) * 6


def execute(program: bytes, number: int, arguments: tuple[int, ...] = NO_ARGUMENTS, arch: int = ARCHITECTURES["x86_64"]) -> tuple[int, int]:
    """(answer, instructions run) of a classic BPF program: only what the compiler emits."""
    data = struct.pack("=IIQ6Q", number, arch, 0, *arguments)
    accumulator = at = steps = 0
    while True:
        code, true, false, k = struct.unpack_from("=HBBI", program, 8 * at)
        at, steps = at + 1, steps + 1
        if code == 0x06:
            return k, steps
        if code == 0x20:
            accumulator = struct.unpack_from("=I", data, k)[0]
        elif code == 0x54:
            accumulator &= k
        elif code == 0x05:
            at += k
        else:
            holds = {0x15: accumulator == k, 0x25: accumulator > k, 0x35: accumulator >= k}[code]
            at += true if holds else false


EDGES = st.sampled_from([0, 1, 2, 8, 38, 40, 0x20000, 0x10000000, 0x7E020000, 0xFFFFFFFF, 1 << 32, (1 << 32) + 40, 1 << 63, (1 << 64) - 1])
CONDITIONS = st.builds(Condition, st.integers(0, 5), st.sampled_from(["eq", "ne", "lt", "le", "gt", "ge", "masked"]), EDGES, EDGES)
RULES = st.builds(Rule, st.sampled_from([ALLOW, ERRNO | 1, ERRNO | 38, KILL_PROCESS]), st.lists(CONDITIONS, max_size=3).map(tuple))
PROGRAMS = st.dictionaries(st.integers(0, 470), st.lists(RULES, min_size=1, max_size=4).map(tuple), max_size=40)


@given(PROGRAMS, st.lists(st.tuples(st.integers(0, 500), st.tuples(*[EDGES] * 6)), max_size=20))
def test_compiled_program_means_its_rules(rules: dict[int, tuple[Rule, ...]], calls: list[tuple[int, tuple[int, ...]]]) -> None:
    program = compile(rules, UNKNOWN, "x86_64")
    for number, arguments in [*calls, *((number, NO_ARGUMENTS) for number in rules)]:
        assert execute(program, number, arguments)[0] == answer(rules, UNKNOWN, number, arguments)


@pytest.mark.parametrize("machine", MACHINES)
def test_default_program_means_its_rules_for_every_call(machine: str) -> None:
    rules = numbered(default_rules(capabilities.DEFAULT), machine)
    program = default_program(capabilities.DEFAULT, machine)
    for number in range(600):
        assert execute(program, number, arch=ARCHITECTURES[machine])[0] == answer(rules, UNKNOWN, number, NO_ARGUMENTS)


def test_default_program_is_shallow() -> None:
    """Its depth is paid at every system call of every process."""
    program = default_program(capabilities.DEFAULT, "x86_64")
    assert max(execute(program, number)[1] for number in range(470)) <= 16
    assert len(program) // 8 < 256


def test_other_architectures_are_killed_and_x32_unknown() -> None:
    program = default_program(capabilities.DEFAULT, "x86_64")
    assert execute(program, 1, arch=0x40000003)[0] == KILL_PROCESS
    assert execute(program, 0x40000000 + 1)[0] == ERRNO | ENOSYS


@pytest.mark.parametrize("family", [38, 40, 38 | 1 << 32, 40 | 0xABCD << 32])
def test_sockets_of_the_hypervisor_and_the_kernels_crypto_are_refused(family: int) -> None:
    """CVE-2026-31431; the kernel takes an int, so the upper half must not help."""
    program = default_program(capabilities.DEFAULT, "x86_64")
    socket = numbers("x86_64")["socket"]
    assert execute(program, socket, (family, 1, 0, 0, 0, 0))[0] == ERRNO | EPERM
    assert execute(program, socket, (2, 1, 0, 0, 0, 0))[0] == ALLOW


@pytest.mark.parametrize("flag", [0x02000000, 0x04000000, 0x08000000, 0x10000000, 0x20000000, 0x40000000, 0x00020000])
def test_new_namespaces_are_refused(flag: int) -> None:
    known = numbers("x86_64")
    program = default_program(capabilities.DEFAULT, "x86_64")
    assert execute(program, known["clone"], (flag | 17, 0, 0, 0, 0, 0))[0] == ERRNO | EPERM
    assert execute(program, known["clone"], (17, 0, 0, 0, 0, 0))[0] == ALLOW
    assert execute(program, known["clone3"])[0] == ERRNO | ENOSYS
    assert execute(program, known["unshare"], (flag, 0, 0, 0, 0, 0))[0] == ERRNO | EPERM


def test_capability_brings_its_calls() -> None:
    known = numbers("x86_64")
    program = default_program(capabilities.select(("SYS_ADMIN",)), "x86_64")
    for name in ("mount", "unshare", "clone3", "setns", "bpf"):
        assert execute(program, known[name])[0] == ALLOW
    for name in ("kexec_load", "init_module", "keyctl", "reboot"):
        assert execute(program, known[name])[0] == ERRNO | EPERM
    assert execute(default_program(0, "x86_64"), known["chroot"])[0] == ERRNO | EPERM


# what the usual profile allows and ours does not: docker's own refuses these too, but for SYS_ADMIN and the like
STRICTER = """clone clone3 epoll_ctl_old epoll_wait_old fsconfig fsmount fsopen fspick get_mempolicy keyctl mbind mount mount_setattr move_mount
    open_tree personality pidfd_getfd pivot_root reboot set_mempolicy setns socket syslog umount2 unshare"""
# what ours allows and the usual one does not know yet, or refuses without a stated reason (docker's own allows them)
NEWER = """cachestat fchmodat2 futex_requeue futex_wait futex_waitv futex_wake getxattrat listxattrat map_shadow_stack mseal removexattrat
    setxattrat uretprobe io_pgetevents"""


@pytest.mark.skipif(not USUAL.exists(), reason="the usual profile (package golang-github-containers-common) is not installed to compare with")
@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize("held", [capabilities.DEFAULT, 0, capabilities.select(("SYS_ADMIN", "SYS_PTRACE"))])
def test_default_profile_against_the_usual_one(machine: str, held: int) -> None:
    usual, _ = seccomp_json.rules_of(json.loads(USUAL.read_text()), held, machine)
    known = numbers(machine)
    theirs = {name for name, rules in usual.items() if name in known and rules == (Rule(ALLOW),)}
    ours = {name for name, rules in default_rules(held).items() if name in known and rules == (Rule(ALLOW),)}
    assert ours - theirs - set(NEWER.split()) <= set(" ".join(_gained(held)).split())
    assert theirs - ours <= set(STRICTER.split())


def _gained(held: int) -> list[str]:
    """Calls that docker's profile ties to a capability and the usual one to none or another."""
    return ["pidfd_getfd quotactl_fd open_tree_attr syslog"] if held & capabilities.SYS_ADMIN else []


@pytest.mark.skipif(not USUAL.exists(), reason="the usual profile (package golang-github-containers-common) is not installed to load")
def test_usual_profile_loads_and_agrees_with_itself() -> None:
    profile = json.loads(USUAL.read_text())
    program = seccomp_json.load(str(USUAL))
    rules, default = seccomp_json.rules_of(profile, capabilities.DEFAULT, "x86_64")
    by_number = numbered(rules, "x86_64")
    for number in range(500):
        assert execute(program, number)[0] == answer(by_number, default, number, NO_ARGUMENTS)


def test_json_operators_and_alternatives() -> None:
    two = [{"index": 0, "value": 1, "op": "SCMP_CMP_EQ"}, {"index": 0, "value": 2, "op": "SCMP_CMP_EQ"}]
    both = [{"index": 0, "value": 1, "op": "SCMP_CMP_GE"}, {"index": 1, "value": 6, "valueTwo": 2, "op": "SCMP_CMP_MASKED_EQ"}]
    profile = {"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [
        {"names": ["read"], "action": "SCMP_ACT_ALLOW", "args": two}, {"names": ["write"], "action": "SCMP_ACT_ALLOW", "args": both},
        {"name": "open", "action": "SCMP_ACT_KILL_PROCESS"}, {"names": ["close"], "action": "SCMP_ACT_ERRNO", "errnoRet": 5},
        {"names": ["stat"], "action": "SCMP_ACT_ALLOW", "includes": {"arches": ["arm64"]}},
        {"names": ["fstat"], "action": "SCMP_ACT_ALLOW", "includes": {"minKernel": "99.1"}},
        {"names": ["lstat"], "action": "SCMP_ACT_ALLOW", "includes": {"caps": ["CAP_SYS_ADMIN"]}},
        {"names": ["poll"], "action": "SCMP_ACT_ALLOW", "excludes": {"caps": ["CAP_SYS_ADMIN"]}}]}
    program = seccomp_json.program(profile, capabilities.DEFAULT, "x86_64")
    known = numbers("x86_64")

    def said(name: str, *arguments: int) -> int:
        return execute(program, known[name], (*arguments, *NO_ARGUMENTS)[:6])[0]

    assert [said("read", n) for n in (0, 1, 2, 3)] == [ERRNO | 1, ALLOW, ALLOW, ERRNO | 1]
    assert [said("write", 1, 2), said("write", 1, 3), said("write", 0, 2), said("write", 5, 4)] == [ALLOW, ALLOW, ERRNO | 1, ERRNO | 1]
    assert [said("open"), said("close"), said("stat"), said("fstat"), said("lstat"), said("poll")] == [
        KILL_PROCESS, ERRNO | 5, ERRNO | 1, ERRNO | 1, ERRNO | 1, ALLOW]


@pytest.mark.parametrize("text", [
    "", "[]", "{}", '{"defaultAction": "SCMP_ACT_NONE"}', '{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"action": 1}]}', "[" * 100_000,
    '{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["read"], "action": "SCMP_ACT_ALLOW", "args": [{"index": 9, "value": 1,'
    ' "op": "SCMP_CMP_EQ"}]}]}', " " * (1 << 20) + "{}"])
def test_json_profile_that_is_none(tmp_path: Path, text: str) -> None:
    (tmp_path / "profile").write_text(text)
    with pytest.raises(InvalidSpec, match="seccomp profile"):
        seccomp_json.load(str(tmp_path / "profile"))


@pytest.mark.parametrize(("machine", "header"), [("x86_64", "/usr/include/x86_64-linux-gnu/asm/unistd_64.h")])
def test_numbers_against_the_kernels_header(machine: str, header: str) -> None:
    if not Path(header).exists():
        pytest.skip(f"{header} (package linux-libc-dev) is not installed to compare with")
    found = {name: int(number) for name, number in re.findall(r"#define __NR_(\w+) (\d+)", Path(header).read_text())}
    ours = numbers(machine)
    assert {name: number for name, number in ours.items() if name in found} == found


def test_numbers_of_aarch64() -> None:
    ours = numbers("aarch64")
    assert [ours[name] for name in ("getcwd", "openat", "newfstatat", "clone", "execve", "mmap", "renameat2", "statx", "openat2")] == [
        17, 56, 79, 220, 221, 222, 276, 291, 437]
    assert not {"open", "fork", "stat", "arch_prctl"} & set(ours)
