"""Limits: their files for both versions, and the kernel's word that they hold, where the machine has controllers."""

import os
import signal
from pathlib import Path

import pytest

from sandbox.cgroup import Cgroups, Group, Usage, look, mounts, name_of
from sandbox.client import Client, connect
from sandbox.controllers import File, files_v1, files_v2, weight
from sandbox.errors import InvalidSpec, SandboxError
from sandbox.spec import MIB, Limits, Overlay, SandboxSpec
from tests.sandbox.harness import Box

ALL = Limits(memory=100, memory_swap=150, memory_reservation=50, cpu_shares=1024, cpu_quota_us=5000, cpuset_cpus="0-1", pids=9,
             read_bps=(("/dev/x", 7),), write_iops=(("/dev/x", 8),))


def number(path: str) -> str:
    return "8:0"


def lines(files: tuple[File, ...]) -> list[str]:
    return [f"{file.name}={file.value}" for file in files]


def test_files_of_version_2() -> None:
    assert lines(files_v2(ALL, number)) == [
        "memory.max=100", "?memory.swap.max=50", "memory.low=50", "cpu.weight=39", "cpu.max=5000 100000", "cpuset.cpus=0-1", "pids.max=9",
        "io.max=8:0 rbps=7", "io.max=8:0 wiops=8"]


def test_files_of_version_1() -> None:
    assert lines(files_v1(ALL, number)) == [
        "memory.limit_in_bytes=100", "?memory.memsw.limit_in_bytes=150", "memory.soft_limit_in_bytes=50", "cpu.shares=1024",
        "?cpu.cfs_quota_us=5000", "cpuset.cpus=0-1", "pids.max=9", "blkio.throttle.read_bps_device=8:0 7", "blkio.throttle.write_iops_device=8:0 8"]


def test_nothing_asked_nothing_written() -> None:
    assert files_v1(Limits(), number) == files_v2(Limits(), number) == ()


def test_weights_of_devices_are_over_the_one_of_all() -> None:
    limits = Limits(io_weight=10, io_weights=(("/dev/x", 1000),))
    assert lines(files_v1(limits, number)) == ["?blkio.bfq.weight=10", "?blkio.bfq.weight_device=8:0 1000"]
    assert lines(files_v2(limits, number)) == ["?io.bfq.weight=10", "?io.weight=1", "?io.bfq.weight=8:0 1000", "?io.weight=8:0 10000"]


def test_a_weight_that_this_kernel_does_not_have_is_known_as_absent(tmp_path: Path) -> None:
    group = Group("x", 1, {}, {"blkio": os.open(tmp_path, os.O_RDONLY)}, ())
    group.update(Limits(io_weight=10))
    group.close()
    assert group.absent == {"blkio.bfq.weight"}


def test_unlimited_swap_and_pids() -> None:
    limits = Limits(memory=5, memory_swap=-1, pids=-1)
    assert lines(files_v2(limits, number)) == ["memory.max=5", "?memory.swap.max=max", "pids.max=max"]
    assert lines(files_v1(limits, number)) == ["memory.limit_in_bytes=5", "?memory.memsw.limit_in_bytes=-1", "pids.max=max"]


def test_memory_alone_allows_as_much_swap() -> None:
    assert lines(files_v2(Limits(memory=5), number)) == ["memory.max=5", "?memory.swap.max=5"]


def test_swap_below_memory_is_refused() -> None:
    with pytest.raises(InvalidSpec):
        files_v2(Limits(memory=5, memory_swap=4), number)


def test_weight_of_shares() -> None:
    assert [weight(shares) for shares in (0, 2, 1024, 262144, 10**9)] == [1, 1, 39, 10000, 10000]


def test_name_of_a_run_directory_is_stable() -> None:
    assert name_of("/run/pybuild") == name_of("/run/pybuild") != name_of("/run/pybuild2")
    assert len(name_of("/run/pybuild")) == len("pybuild-123456")


@pytest.mark.parametrize("first", ["/sys/fs/cgroup", "/srv/root/sys/fs/cgroup"])
def test_hierarchy_bound_elsewhere_too_is_used_at_its_usual_place(first: str) -> None:
    places = [first, *{"/sys/fs/cgroup", "/srv/root/sys/fs/cgroup"} - {first}]
    rows = [f"{number} 1 0:{kind} / {place}/{name} rw,relatime - {kind} {kind} {options}" for number, place in enumerate(places)
            for kind, name, options in (("cgroup", "pids", "rw,pids"), ("cgroup2", "unified", "rw"), ("tmpfs", "", "rw,mode=755"))]
    assert mounts("\n".join(rows)) == [("/sys/fs/cgroup/pids", "cgroup", "rw,pids"), ("/sys/fs/cgroup/unified", "cgroup2", "rw")]


def test_hierarchy_mounted_only_elsewhere_is_used_there() -> None:
    assert mounts("9 1 0:4 / /cgroups rw - cgroup2 none rw\n") == [("/cgroups", "cgroup2", "rw")]


@pytest.fixture
def controllers(root_box: Box) -> Cgroups:
    found = look(name_of(str(root_box.run_directory)))
    if not {"memory", "pids"} <= found.controllers:
        pytest.skip(f"no memory and pids controllers on this machine: {found.reason}")
    return found


@pytest.fixture
def client(root_box: Box) -> Client:
    return connect(str(root_box.run_directory))


def spec(box: Box, script: str, **fields: object) -> SandboxSpec:
    for name in ("upper", "work"):
        (box.scratch / name).mkdir()
    root = Overlay((str(box.rootfs),), str(box.scratch / "upper"), str(box.scratch / "work"))
    return SandboxSpec(root, ("/bin/sh", "-c", script), env=(("PATH", "/bin"),), **fields)      # type: ignore[arg-type]


@pytest.mark.userns
def test_pids_limit_holds(root_box: Box, controllers: Cgroups) -> None:
    outcome = root_box.shell("for i in 1 2 3 4 5 6 7 8; do sleep 5 & done; echo never", limits=Limits(pids=4))
    assert "fork" in outcome.err
    assert outcome.exit and outcome.exit.code != 0


@pytest.mark.userns
def test_memory_limit_holds_and_is_reported_as_such(root_box: Box, controllers: Cgroups, client: Client) -> None:
    script = "x=0123456789abcdef; while true; do x=$x$x; done"
    with client, client.spawn(spec(root_box, script, limits=Limits(memory=20 * MIB))) as running:
        exit = running.wait()
    assert (exit.signal, exit.code, exit.oom) == (signal.SIGKILL, 137, True)


@pytest.mark.userns
def test_group_is_seen_updated_and_frozen(root_box: Box, controllers: Cgroups, client: Client) -> None:
    limits = Limits(memory=50 * MIB, pids=20)
    with client, client.spawn(spec(root_box, "sleep 1007; true", cgroup="named", limits=limits)) as running:
        group = controllers.open("named")
        assert group and running.pid in group.processes()
        usage = group.usage()
        assert usage.memory > 0 and usage.pids >= 1 and usage.cpu_ns > 0
        group.update(Limits(memory=60 * MIB, memory_swap=90 * MIB, pids=30))
        group.freeze(True)
        group.freeze(False)
        group.kill()
        assert running.wait().signal == signal.SIGKILL
    assert controllers.open("named") is None               # and removed


@pytest.mark.userns
def test_group_of_own_is_hidden_by_the_cgroup_namespace(root_box: Box, controllers: Cgroups) -> None:
    outcome = root_box.shell("grep -E 'memory|0::' /proc/self/cgroup", limits=Limits(memory=50 * MIB))
    assert all(line.endswith(":/") for line in outcome.out.split())


@pytest.mark.userns
def test_process_sees_its_limits(root_box: Box, controllers: Cgroups) -> None:
    script = "cd /sys/fs/cgroup; cat memory/memory.limit_in_bytes memory.max 2>/dev/null; for at in . memory pids; do [ -d $at ] && echo 1 >$at/cgroup.procs; mkdir $at/x; done"
    outcome = root_box.shell(script, limits=Limits(memory=50 * MIB))
    assert outcome.out == f"{50 * MIB}\n"
    assert outcome.err.count("Read-only file system") == (2 if controllers.version == 2 else 6)


@pytest.mark.userns
def test_unknown_device_is_one_error(root_box: Box, controllers: Cgroups) -> None:
    assert root_box.run("/bin/true", limits=Limits(read_bps=(("/dev/nope", 1),))).message == "device `/dev/nope` cannot be looked at: no such file or directory"


@pytest.mark.userns
def test_ordinary_user_without_delegation_gets_a_warning_and_runs(user_box: Box) -> None:
    """Where the machine delegates nothing to users, as without systemd."""
    warnings = user_box.user and user_box.user.call(_warnings, str(user_box.run_directory), str(user_box.rootfs))
    if warnings == ():
        pytest.skip("this machine delegates controllers to users")
    assert warnings and warnings[0].startswith("limits ")


def _warnings(run_directory: str, rootfs: str) -> tuple[str, ...]:
    from sandbox import userns
    points = Path(os.environ["HOME"]) / "points"
    for name in ("proc", "sys", "dev"):
        (points / name).mkdir(parents=True, exist_ok=True)
    with connect(run_directory, idle_s=3) as client:
        userns.enter(run_directory, client)
        root = Overlay((str(points), rootfs))
        with client.spawn(SandboxSpec(root, ("/bin/true",), limits=Limits(memory=50 * MIB))) as running:
            assert running.wait().code == 0
            return running.warnings


@pytest.mark.userns
def test_disks_stay_closed_with_sys_admin(root_box: Box) -> None:
    from sandbox import capabilities
    script = "mkdir /m; mount -t tmpfs x /m && mknod /m/null c 1 3 && mknod /m/disk b 254 0; cat /m/null && echo null; head -c 1 /m/disk"
    outcome = root_box.shell(script, capabilities=capabilities.select(("SYS_ADMIN",)))
    if outcome.error:
        assert outcome.message.startswith("cannot give the capability SYS_ADMIN")
    else:
        assert outcome.out == "null\n"
        assert "Operation not permitted" in outcome.err


def test_usage_of_a_machine_without_controllers() -> None:
    none = Cgroups(0, "", {}, frozenset(), "nothing here")
    assert none.create("x", Limits(memory=1)) is None
    assert Usage(-1, -1, -1, 0, 0).memory == -1


def test_refused_limit_names_the_file(root_box: Box, controllers: Cgroups) -> None:
    with pytest.raises(SandboxError, match=r"cpuset\.cpus=77-99"):
        controllers.create("bad", Limits(cpuset_cpus="77-99"))
    assert controllers.open("bad") is None
