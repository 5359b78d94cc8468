"""A virtual machine with Debian 12: its own kernel (or Debian 11's), systemd and cgroup version 2, for tests of what this machine cannot show.

The disk is made once, from Debian's mirror, and kept; each run boots a throw-away copy of it with the source tree on a second disk, runs one shell
script as root, and gives back what that printed.
"""

import hashlib
import os
import shutil
import subprocess
import tarfile
from pathlib import Path

import pytest

from tests.users import ROOT

CACHE = Path("/var/tmp/pybuild-tests/guest")
SOURCES = tuple(f"deb http://deb.debian.org/debian {suite} main" for suite in ("bookworm", "bullseye"))
KERNELS = ("6.1", "5.10")
PACKAGES = ("linux-image-cloud-amd64 linux-image-5.10.0-32-cloud-amd64 systemd-sysv dbus dbus-user-session libpam-systemd udev python3 python3-pytest python3-hypothesis uidmap"
            " busybox-static procps iproute2 crun")
UNIT = """[Unit]
After=systemd-user-sessions.service dbus.service
[Service]
Type=oneshot
ExecStart=/bin/sh -c 'mkdir /work && cd /work && tar xf /dev/vdb && sh /work/script; echo "status $?"; sync; systemctl poweroff --force --force'
StandardOutput=tty
StandardError=tty
TTYPath=/dev/ttyS1
[Install]
WantedBy=multi-user.target
"""
TREES = ("kernel", "sandbox", "store", "tests/__init__.py", "tests/users.py", "tests/fork.py", "tests/conftest.py", "tests/guest.py",
         "tests/kernel", "tests/sandbox", "pyproject.toml")


def skip_reason() -> str:
    """Why there can be no guest here; "" if there can."""
    if os.geteuid():
        return "making a guest's disk needs root"
    missing = [name for name in ("qemu-system-x86_64", "mmdebstrap", "mke2fs") if not shutil.which(name, path="/usr/sbin:/usr/bin:/sbin:/bin")]
    return f"a guest needs {', '.join(missing)}" if missing else ""


def disk() -> Path:
    """Directory with the disk, the kernel and its initial RAM disk; made if missing."""
    place = CACHE / hashlib.sha256(f"{PACKAGES}{UNIT}{SOURCES}".encode()).hexdigest()[:12]
    if not (place / "disk").exists():
        fresh = place.with_suffix(f".{os.getpid()}")
        fresh.mkdir(parents=True)
        try:
            _make(fresh)
            if not place.exists():
                fresh.rename(place)
        finally:
            shutil.rmtree(fresh, ignore_errors=True)
    return place


def _make(place: Path) -> None:
    root = place / "root"
    done = subprocess.run(["mmdebstrap", "--variant=minbase", f"--include={','.join(PACKAGES.split())}", "bookworm", root, *SOURCES],
                          capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"Debian's mirror cannot be reached: {done.stderr.strip().splitlines()[-1]}")
    (root / "etc/systemd/system/test.service").write_text(UNIT)
    (root / "etc/systemd/system/multi-user.target.wants/test.service").symlink_to("/etc/systemd/system/test.service")
    (root / "etc/fstab").write_text("/dev/vda / ext4 rw 0 1\n")
    for name in (f"{kind}-{kernel}" for kind in ("vmlinuz", "initrd.img") for kernel in KERNELS):
        shutil.copy(next((root / "boot").glob(f"{name}.*")), place / name)
    subprocess.run(["mke2fs", "-q", "-t", "ext4", "-d", root, place / "disk.part", "3G"], check=True, capture_output=True)
    (place / "disk.part").rename(place / "disk")
    shutil.rmtree(root)


def run(scratch: Path, script: str, *, kernel: str = KERNELS[0], timeout_s: float = 600) -> str:
    """Boot, run `script` in /work, which has the source tree, and power off; what it printed, ending with "status N"."""
    place = disk()
    with tarfile.open(scratch / "work.tar", "w") as archive:
        for tree in TREES:
            archive.add(ROOT / tree, tree, filter=lambda one: None if "__pycache__" in one.name else one)
        (scratch / "script").write_text(script)
        archive.add(scratch / "script", "script")
    with open(scratch / "work.tar", "ab") as file:
        file.truncate(-(-file.tell() // 512) * 512)
    output = scratch / "output"
    # emulated wholly: the /dev/kvm of some clouds (kvm-pvm) cannot boot an ordinary kernel, and hangs; it boots in 15 seconds
    words: list[str] = ["qemu-system-x86_64", "-accel", "tcg,thread=multi", "-cpu", "max", "-m", "2048", "-smp", "2", "-display", "none", "-nodefaults", "-no-reboot",
             "-kernel", str(place / f"vmlinuz-{kernel}"), "-initrd", str(place / f"initrd.img-{kernel}"), "-append", "console=ttyS0 root=/dev/vda rw quiet",
             "-drive", f"file={place}/disk,format=raw,if=virtio,snapshot=on", "-drive", f"file={scratch}/work.tar,format=raw,if=virtio,readonly=on",
             "-serial", f"file:{scratch}/console", "-serial", f"file:{output}"]
    subprocess.run(words, timeout=timeout_s, check=True, capture_output=True)
    return output.read_text(errors="replace").replace("\r\n", "\n")
