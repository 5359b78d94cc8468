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

OLDER = [one for one in ("5.10", "6.1") if parse(one) <= parse(os.uname().release)]

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


EVERY_KIND = r'''
import json, os, sys
from kernel.release import RELEASE
from kernel.syscalls import PR_SET_NO_NEW_PRIVS, prctl, seccomp
from sandbox.seccomp import ALLOW, ERRNO, Condition, Rule, compile
from sandbox.seccomp_profile import numbered
from sandbox.spec import Bind, Dev, Device, Joined, Overlay, Proc, Symlink, Tmpfs, WriteFile
from tests.sandbox.harness import run

run_directory, scratch, top, shape = sys.argv[1:]
if RELEASE < (6, 7):
    newer = {name: (Rule(ERRNO | 38),) for name in ("landlock_create_ruleset", "open_tree_attr")}
    if RELEASE < (5, 12):
        newer["mount_setattr"] = (Rule(ERRNO | 38),)
        newer["close_range"] = (Rule(ERRNO | 22, (Condition(2, "ne", 0),)),)
    prctl(PR_SET_NO_NEW_PRIVS, 1)
    seccomp(compile(numbered(newer, "x86_64"), ALLOW, "x86_64"))
here = os.open("/proc/self/ns/mnt", os.O_RDONLY)
mounts = (
    Bind(top + "/d", "/bind/rw"), Bind(top + "/d", "/bind/ro", readonly=True, nosuid=True, noexec=True),
    Bind(top + "/d", "/bind/alone", recursive=False), Bind(top + "/d/file", "/bind/file", readonly=True),
    Bind(top + "/d", "/bind/slave", propagation="slave"), Bind(top + "/d", "/bind/shared", propagation="shared"),
    Bind(top + "/d", "/bind/dev", nodev=False), Bind(top + "/d/a b", "/bind/a b/c\td", readonly=True),
    Tmpfs("/t/plain"), Tmpfs("/t/all", 1 << 20, 0o750, 3, 4, readonly=True, noexec=True, nosuid=False, inodes=7),
    Overlay((top + "/l1", top + "/l2"), target="/o/lower"), Overlay((top + "/l1",), target="/o/one"),
    Overlay((top + "/l1", top + "/l2"), top + "/up", top + "/work", target="/o/upper"),
    Overlay((top + "/l1", top + "/l2"), target="/o/part", source="/sub", readonly=True), Overlay((top + "/l1",), target="/o/file", source="/sub/f"),
    Proc("/p"), Dev("/v"), Symlink("/s/link", "/bind/rw/file"), WriteFile("/w/rw", b"rw", 0o640, 5, 6), WriteFile("/w/ro", b"ro", readonly=True),
    Joined(here, "/dev/shm"))
fields = {"": {}, "readonly": {"readonly_root": True}, "privileged": {"privileged": True},
          "hosted": {"pid": "host", "ipc": "host", "uts": "host", "network": "host"}, "small": {"shm_size": 1 << 20},
          "device": {"devices": (Device("/dev/null", "/dev/x/null"),)}, "none": {"shm_size": 0, "masked": False}}[shape]
script = """
awk '{o = ""; for (i = 7; $i != "-"; i++) {sub(/:.*/, "", $i); o = o " " $i} print $5, $6 o, $(i + 1)}' /proc/self/mountinfo | grep -v ' /sys/fs/cgroup'
stat -c '%n %a %u %g' /t/all /w/rw /w/ro /s/link; cat /w/rw /w/ro /s/link "/bind/a b/c\td/x" /o/lower/f /o/lower/g /o/part/f /o/file /bind/rw/below/file
ls /bind/alone/below /p/self/ns /v; for at in /bind/ro/x /bind/slave/x /bind/file /t/all/x /o/lower/x /o/part/x /o/upper/x /w/ro /w/rw /x; do
    (echo x >"$at") 2>/dev/null && echo wrote $at
done
"""
if shape == "none":
    mounts = mounts[:-1]
outcome = run(run_directory, scratch, (top + "/root",), ("/bin/sh", "-c", script), b"", {"mounts": mounts, **fields})
print(json.dumps([outcome.out.splitlines(), outcome.err.splitlines(), outcome.message, outcome.upper, outcome.exit and outcome.exit.code]))
'''


@pytest.mark.parametrize("shape", ["", "readonly", "privileged", "hosted", "small", "device", "none"])
def test_every_kind_of_mount_with_older_calls_is_as_with_newer(run_directory: Path, rootfs: Path, tmp_path: Path, shape: str) -> None:
    found = {}
    for release in ("", *OLDER):
        top = tmp_path / (release or "now")
        for name in ("d/below", "d/a b", "l1/sub", "l2/sub", "up", "work"):
            (top / name).mkdir(parents=True)
        for name in ("d/file", "d/a b/x", "l1/f", "l2/f", "l2/g", "l1/sub/f"):
            (top / name).write_text(f"{name}\n")
        (top / "root").symlink_to(rootfs)
        subprocess.run(["mount", "-t", "tmpfs", "tmpfs", top / "d/below"], check=True)
        try:
            (top / "d/below/file").write_text("below\n")
            done = subprocess.run([sys.executable, "-c", EVERY_KIND, run_directory, tmp_path, top, shape], capture_output=True, text=True,
                                  env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), **({"PYBUILD_KERNEL": release} if release else {})})
        finally:
            subprocess.run(["umount", top / "d/below"], check=True)
        assert done.stderr == ""
        found[release] = json.loads(done.stdout)
        assert found[release][2] == "", found[release]
    assert all(found[release] == found[""] for release in OLDER)
    assert len([line for line in found[""][0] if line.startswith(("/bind/", "/t/", "/o/", "/w/", "/p", "/v"))]) > 18


UNABLE = r'''
import sys
from kernel.syscalls import PR_SET_NO_NEW_PRIVS, prctl, seccomp
from sandbox.seccomp import ALLOW, ERRNO, Rule, compile
from sandbox.seccomp_profile import numbered
from tests.sandbox.harness import run

prctl(PR_SET_NO_NEW_PRIVS, 1)
seccomp(compile(numbered({"fsmount": (Rule(ERRNO | 38),)}, "x86_64"), ALLOW, "x86_64"))
print([run(*sys.argv[1:3], (sys.argv[3],), ("/bin/true",), b"", {}).message for _ in range(3)])
'''


def test_a_sandbox_that_cannot_be_prepared_is_an_error_not_an_exit_status(run_directory: Path, rootfs: Path, tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", UNABLE, run_directory, tmp_path, rootfs], capture_output=True, text=True,
                          env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)})
    assert (done.stdout, done.stderr) == (f"{['cannot prepare the sandbox: function not implemented'] * 3}\n", "")
