"""Builds where docker's default profile holds: the tests of isolation by chroot, run in a sandbox of ours with exactly these restrictions."""

import os
import sys
from pathlib import Path

import pytest

from sandbox.client import connect
from sandbox.spec import Bind, Directory, SandboxSpec
from tests.users import ROOT, needs_root

pytestmark = [pytest.mark.userns, pytest.mark.slow, needs_root]
DOCKERS_CAPABILITIES = "00000000a80425fb"
# a CI job's machine: the runner's files, no network, docker's capabilities, seccomp profile and masks
CHECK = f"""
grep -q 'CapEff:.*{DOCKERS_CAPABILITIES}' /proc/self/status && grep -q 'Seccomp:.*2' /proc/self/status || exit 90
exec "$@"
"""


def machine(top: Path) -> SandboxSpec:
    """This machine's programs and Python, and this project; without a command."""
    for name in ("root/proc", "root/sys", "root/dev", "root/tmp", "root/etc", "root/usr", "root/root", "scratch"):
        (top / name).mkdir(parents=True)
    for name in ("bin", "sbin", "lib", "lib64"):
        (top / "root" / name).symlink_to(f"usr/{name}")
    (top / "root/tmp").chmod(0o1777)
    (top / "root/etc/passwd").write_text("root:x:0:0::/root:/bin/sh\n")
    (top / "root/etc/group").write_text("root:x:0:\n")
    places = dict.fromkeys(["/usr", sys.prefix, str(ROOT)])
    mounts = tuple(Bind(path, path, readonly=True) for path in places if path == "/usr" or not path.startswith("/usr/"))
    environment = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/root", "PYTHONDONTWRITEBYTECODE": "1", "TMPDIR": "/var/tmp", "LANG": "C.UTF-8"}
    return SandboxSpec(Directory(str(top / "root")), (), (*mounts, Bind(str(top / "scratch"), "/var/tmp")), tuple(environment.items()),
                       str(ROOT))


@pytest.mark.skipif(not Path("/lib").is_symlink(), reason="the programs of this machine are not all in /usr")
def test_builds_work_under_dockers_default_profile(run_directory: Path, tmp_path: Path) -> None:
    spec = machine(tmp_path)
    chosen = () if os.environ.get("PYBUILD_LONG") else ("-k", "not killed")          # who is killed is the same outside
    words = (sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--basetemp=/var/tmp/pytest", *chosen, "tests/sandbox/test_chroot.py",
             "tests/pybuild/test_isolation.py", "tests/pybuild/test_confined.py")
    log = tmp_path / "log"
    null = os.open("/dev/null", os.O_RDONLY)
    with open(log, "wb") as out, connect(str(run_directory), idle_s=3) as client:
        with client.spawn(spec._replace(argv=("/bin/sh", "-c", CHECK, "sh", *words)), null, out.fileno(), out.fileno()) as running:
            code = running.wait().code
        client.retire()
    os.close(null)
    text = log.read_text(errors="replace")
    assert code == 0, text[-4000:]
    assert " passed" in text or "[100%]" in text
