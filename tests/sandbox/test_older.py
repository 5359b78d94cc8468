"""What is done on kernels that lack the newer calls: these are forbidden here, and an older release is pretended.

All other tests of sandboxes can be run in the same way: `PYBUILD_KERNEL=5.10 pytest tests/sandbox`.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from kernel.release import parse
from tests.users import ROOT

pytestmark = [pytest.mark.userns, pytest.mark.skipif(os.geteuid() != 0, reason="a sandbox as root needs root")]

PROGRAM = r'''
import json, sys
from kernel.release import RELEASE
from kernel.syscalls import PR_SET_NO_NEW_PRIVS, prctl, seccomp
from sandbox.seccomp import ALLOW, ERRNO, Condition, Rule, compile
from sandbox.seccomp_profile import numbered
from sandbox.spec import Bind, Overlay, SandboxSpec, Tmpfs, WriteFile
from tests.sandbox.harness import run

run_directory, scratch, top, layers = sys.argv[1:]
newer = {name: (Rule(ERRNO | 38),) for name in ("landlock_create_ruleset", "open_tree_attr")}
if RELEASE < (5, 12):
    newer["mount_setattr"] = (Rule(ERRNO | 38),)
    newer["close_range"] = (Rule(ERRNO | 22, (Condition(2, "ne", 0),)),)
prctl(PR_SET_NO_NEW_PRIVS, 1)
seccomp(compile(numbered(newer, "x86_64"), ALLOW, "x86_64"))

script = """
(echo changed >/etc/hosts) 2>/dev/null || echo hosts are read-only
for at in / /layer /bound /bound/below /tmp /data; do
    awk -v at=$at '$5 == at {sub(",relatime", "", $6); print $5, $6}' /proc/self/mountinfo
done
ls /layers | wc -l; cat /bound/below/file; ls /proc/acpi; echo made >/made
"""
outcome = run(run_directory, scratch, (*(f"{layers}/{n:03}" for n in range(len(json.loads(open(top + "/names").read())))), top + "/root"),
              ("/bin/sh", "-c", script), b"", {"mounts": (
    WriteFile("/etc/hosts", b"127.0.0.1 localhost\\n", readonly=True), Tmpfs("/tmp", readonly=True),
    Bind(top + "/bound", "/bound", readonly=True, nosuid=True), Bind(top + "/bound", "/data", noexec=True, recursive=False),
    Overlay((top + "/a:b, c", top + "/root"), target="/layer", source="/etc"))})
print(json.dumps([outcome.out, outcome.err, outcome.message, outcome.upper]))
'''


@pytest.mark.parametrize(("release", "layers"), [("5.10", 3), ("6.1", 3), ("6.1", 90)])
def test_whole_sandbox_with_older_calls(run_directory: Path, rootfs: Path, tmp_path: Path, release: str, layers: int) -> None:
    if parse(os.uname().release) < parse(release):
        pytest.skip("this kernel is older still")
    for number in range(layers):
        (tmp_path / f"layers/{number:03}/layers/{number:03}").mkdir(parents=True)
    (tmp_path / "names").write_text(json.dumps(list(range(layers))))
    (tmp_path / "root").symlink_to(rootfs)
    (tmp_path / "a:b, c").mkdir()
    (tmp_path / "bound/below").mkdir(parents=True)
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", tmp_path / "bound/below"], check=True)
    try:
        (tmp_path / "bound/below/file").write_text("below\n")
        done = subprocess.run([sys.executable, "-c", PROGRAM, run_directory, tmp_path, tmp_path, tmp_path / "layers"], capture_output=True, text=True,
                              env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "PYBUILD_KERNEL": release})
    finally:
        subprocess.run(["umount", tmp_path / "bound/below"], check=True)
    assert done.stderr == ""
    out, err, message, upper = json.loads(done.stdout)
    assert (err, message) == ("", "")
    lines = out.splitlines()
    assert lines[0] == "hosts are read-only"
    assert lines[1:7] == ["/ rw,nodev", "/layer ro,nodev", "/bound ro,nosuid,nodev", "/bound/below ro,nosuid,nodev", "/tmp ro,nosuid,nodev",
                          "/data rw,nodev,noexec"]
    assert lines[7:] == [str(layers), "below"]
    assert list(upper) == ["made"]
