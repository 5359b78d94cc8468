"""What a SandboxSpec becomes in the words of the OCI runtime specification."""

import pytest

from sandbox.account import Account
from sandbox.bundle import config
from sandbox.errors import InvalidSpec
from sandbox.spec import Bind, Limits, Overlay, Rlimit, SandboxSpec, Tmpfs, WriteFile

ROOT = Account(0, 0, (), "/root")
SPEC = SandboxSpec(Overlay(("/l",)), ("/bin/true",), env=(("A", "b"),), hostname="h")


def test_the_process_is_who_and_what_it_is_to_be() -> None:
    process = config(SPEC, Account(7, 8, (9,), "/home"), {}, "x86_64")["process"]
    assert process["user"] == {"uid": 7, "gid": 8, "additionalGids": [9], "umask": 0o022}
    assert process["args"] == ["/bin/true"] and process["env"] == ["A=b", "HOME=/home"]
    assert process["capabilities"]["effective"] == [] and "CAP_CHOWN" in process["capabilities"]["bounding"]


def test_no_capability_is_inheritable() -> None:
    assert set(config(SPEC, ROOT, {}, "x86_64")["process"]["capabilities"]) == {"bounding", "effective", "permitted"}


def test_namespaces_are_all_but_the_host_s() -> None:
    found = config(SPEC._replace(network="host", pid="host"), ROOT, {}, "x86_64")["linux"]["namespaces"]
    assert {one["type"] for one in found} == {"mount", "ipc", "uts", "cgroup"}


def test_mounts_are_the_system_s_and_those_asked_for() -> None:
    mounts = (Bind("/src", "/b", readonly=True), Tmpfs("/t", 4096), WriteFile("/f", b"x", readonly=True))
    found = {one["destination"]: one for one in config(SPEC._replace(mounts=mounts), ROOT, {"/f": "/aside/2"}, "x86_64")["mounts"]}
    assert {"/proc", "/dev", "/dev/pts", "/dev/shm", "/dev/mqueue", "/sys"} <= set(found)
    assert found["/b"]["source"] == "/src" and "ro" in found["/b"]["options"]
    assert "size=4096" in found["/t"]["options"]
    assert found["/f"]["source"] == "/aside/2" and "ro" in found["/f"]["options"]


def test_what_is_masked_here_is_masked_there() -> None:
    linux = config(SPEC, ROOT, {}, "x86_64")["linux"]
    assert {"/proc/kcore", "/proc/keys", "/sys/firmware"} <= set(linux["maskedPaths"]) and "/proc/sys" in linux["readonlyPaths"]


def test_limits_are_said_where_there_are_any() -> None:
    spec = SPEC._replace(limits=Limits(memory=1 << 20, pids=5), rlimits=(Rlimit("nofile", 10, -1),))
    found = config(spec, ROOT, {}, "x86_64")
    assert found["linux"]["resources"] == {"memory": {"limit": 1 << 20}, "pids": {"limit": 5}}
    assert found["process"]["rlimits"] == [{"type": "RLIMIT_NOFILE", "soft": 10, "hard": (1 << 64) - 1}]


def test_seccomp_says_each_call_with_conditions_only_where_it_is_permitted() -> None:
    calls = config(SPEC, ROOT, {}, "x86_64")["linux"]["seccomp"]["syscalls"]
    whole = {name for call in calls if "args" not in call for name in call["names"]}
    parted = {name for call in calls if "args" in call for name in call["names"]}
    assert parted == {"socket", "clone", "personality"} and not whole & parted
    assert {"read", "mount"} <= whole


def test_privileged_has_no_seccomp_and_no_masks() -> None:
    linux = config(SPEC._replace(privileged=True), ROOT, {}, "x86_64")["linux"]
    assert "seccomp" not in linux and "maskedPaths" not in linux


def test_a_compiled_profile_cannot_be_said() -> None:
    with pytest.raises(InvalidSpec, match="cannot be put into a bundle"):
        config(SPEC._replace(seccomp=b"12345678"), ROOT, {}, "x86_64")


def test_sockets_are_told_apart_by_the_32_bits_that_the_kernel_takes() -> None:
    """With more of them set, a family that is refused would compare as another one."""
    calls = config(SPEC, ROOT, {}, "x86_64")["linux"]["seccomp"]["syscalls"]
    rules = [argument for call in calls if "socket" in call["names"] for argument in call["args"]]
    assert all((rule["op"], rule["value"]) == ("SCMP_CMP_MASKED_EQ", 0xFFFFFFFF) for rule in rules)
    families = {rule["valueTwo"] for rule in rules}
    assert {1, 2, 10, 16, 17, 39, 44} <= families and not {38, 40} & families
