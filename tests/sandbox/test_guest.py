"""Debian 12 with its own kernel (6.1), and with Debian 11's (5.10), systemd and cgroup version 2, in a virtual machine: the same tests, and what
only systemd can give."""

import os
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from tests import guest

pytestmark = [pytest.mark.slow, pytest.mark.skipif(bool(guest.skip_reason()), reason=guest.skip_reason() or "-")]

PREPARE = """
export PYTHONDONTWRITEBYTECODE=1 PYTHONPATH=/work
chmod -R a+rX /work
useradd -m -u 47005 -s /bin/sh lu; echo lu:4750000:65536 >>/etc/subuid; echo lu:4750000:65536 >>/etc/subgid
as_user() { echo "PYTHONPATH=/work PYTHONDONTWRITEBYTECODE=1 $1" | su -l lu; }
"""
LIMITED = """
import os, sys
from pathlib import Path
from sandbox import cgroup, userns
from sandbox.client import connect
from sandbox.spec import MIB, Limits, Overlay, SandboxSpec

home = Path(sys.argv[1])
for name in ("run", "root/bin", "root/proc", "root/sys", "root/dev", "root/tmp", "upper", "work"):
    (home / name).mkdir(parents=True, exist_ok=True)
(home / "run").chmod(0o700)
(home / "root/bin/busybox").write_bytes(Path("/bin/busybox").read_bytes())
(home / "root/bin/busybox").chmod(0o755)
for name in ("sh", "cat", "tail", "sleep"):
    if not (home / "root/bin" / name).exists():
        (home / "root/bin" / name).symlink_to("busybox")
print(Path("/proc/self/cgroup").read_text().strip().rpartition("/")[2])
with connect(str(home / "run")) as client:
    userns.enter(str(home / "run"), client)

    def run(script, **limits):
        spec = SandboxSpec(Overlay((str(home / "root"),), str(home / "upper"), str(home / "work"), volatile=False), ("/bin/sh", "-c", script),
                           env=(("PATH", "/bin"),), limits=Limits(**limits))
        with client.spawn(spec) as running:
            if running.warnings:
                print("warnings", *running.warnings)
            ended = running.wait()
            print(ended.code, ended.oom, flush=True)

    run("cd /sys/fs/cgroup; cat memory.max cpu.max pids.max", memory=64 * MIB, cpu_quota_us=50000, pids=20)
    run("tail /dev/zero", memory=32 * MIB, memory_swap=32 * MIB)
    run("for i in 1 2 3 4 5 6; do sleep 1 & done; wait", pids=4)
    with client.spawn(SandboxSpec(Overlay((str(home / "root"),), str(home / "upper"), str(home / "work"), volatile=False), ("/bin/sleep", "100"),
                                  cgroup="kept", limits=Limits(memory=64 * MIB))) as running:
        group = cgroup.of_process(running.pid)
        print(group.name, group.processes() == (running.pid,), group.usage().pids)
        group.update(Limits(memory=48 * MIB))
        group.freeze(True)
        print(Path(f"/proc/{running.pid}/cgroup").read_text().count("/kept"), group.usage().memory > 0)
        group.freeze(False)
        group.kill()
        print(running.wait().signal)
    client.retire()
"""


BETWEEN = "---- and now the tests"


@pytest.fixture(scope="module")
def outputs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, "Future[str]"]]:
    """What each guest has printed; they run side by side."""
    guest.disk()                                         # once, before they all want it
    with ThreadPoolExecutor(len(guest.KERNELS)) as pool:
        yield {kernel: pool.submit(guest.run, tmp_path_factory.mktemp("guest"), script(kernel), kernel=kernel) for kernel in guest.KERNELS}


def script(kernel: str) -> str:
    """The first of them, which has the newer systemd to ask, also says what an ordinary user gets."""
    limits = f"cat >/tmp/program.py <<'EOP'\n{LIMITED}\nEOP\nas_user 'python3 /tmp/program.py /home/lu/sandboxes'\n" if kernel == guest.KERNELS[0] else ""
    chosen = "tests/kernel tests/sandbox" if os.environ.get("PYBUILD_LONG") else (
        "tests/sandbox/test_cgroup.py tests/sandbox/test_device_program.py tests/sandbox/test_overlay.py")
    return f"{PREPARE}\n{limits}echo {BETWEEN}\npython3 -m pytest -q -rs -p no:cacheprovider {chosen} -m 'not slow' 2>&1"


@pytest.mark.parametrize("kernel", guest.KERNELS)
def test_tests_of_sandboxes_on_debians_kernels(outputs: dict[str, "Future[str]"], kernel: str) -> None:
    """A few files of them; all with PYBUILD_LONG=1."""
    output = outputs[kernel].result().partition(BETWEEN)[2]
    assert output.rstrip().splitlines()[-2:] == ["status 0", "Powering off."], output[-8000:]
    assert "failed" not in output


def test_limits_of_an_ordinary_user_come_from_its_systemd(outputs: dict[str, "Future[str]"]) -> None:
    """A login session's group is not the user's to divide: a delegated scope is asked for."""
    lines = outputs[guest.KERNELS[0]].result().partition(BETWEEN)[0].split("\n")
    assert "session-" in lines[0]
    assert [line for line in lines[1:] if line] == [
        str(64 << 20), "50000 100000", "20", "0 False", "137 True", "/bin/sh: can't fork: Resource temporarily unavailable", "2 False",
        "kept True 1", "1 True", "9"]
