import os
from pathlib import Path

import pytest

from kernel.syscalls import CLONE_NEWNET, PR_CAPBSET_DROP, capset, prctl, unshare
from sandbox import capabilities, userns
from sandbox.client import connect
from sandbox.limits import check_sysctl
from sandbox.network import NO_LOOPBACK, bring_up_loopback, join
from sandbox.spec import Directory, SandboxSpec
from tests.fork import in_fork
from tests.sandbox.harness import IDLE_S, PATH, Box
from tests.sandbox.test_visit import finish, layers

pytestmark = pytest.mark.userns


def prepared() -> int:
    """Fd of a network namespace in which loopback is up and something can be recognised."""
    ready_r, ready_w = os.pipe()
    done_r, done_w = os.pipe()
    pid = os.fork()
    if not pid:
        unshare(CLONE_NEWNET)
        bring_up_loopback()
        with open("/proc/sys/net/ipv4/ip_default_ttl", "w") as file:
            file.write("77")
        os.write(ready_w, b"x")
        os.close(done_w)
        os.read(done_r, 1)
        os._exit(0)
    os.close(ready_w)
    assert os.read(ready_r, 1)
    found = os.open(f"/proc/{pid}/ns/net", os.O_RDONLY)
    for fd in (ready_r, done_r, done_w):
        os.close(fd)
    os.waitpid(pid, 0)
    return found


def _use(run_directory: str, scratch: str, rootfs: str) -> tuple[str, str]:
    with connect(run_directory, idle_s=IDLE_S) as client:
        userns.enter(run_directory, client)
        network = prepared()
        script = "cat /proc/sys/net/ipv4/ip_default_ttl; ip link show lo; ls /sys/class/net"
        spec = SandboxSpec(layers(Path(scratch), Path(rootfs)), ("/bin/sh", "-c", script), env=(PATH,), network=network)
        _, out = finish(lambda write: client.spawn(spec, 0, write, write))
        own, theirs = os.readlink("/proc/self/ns/net"), f"net:[{os.fstat(network).st_ino}]"
        os.close(network)
        return out, "other" if own != theirs else "same"


def test_namespace_given_by_fd(box: Box) -> None:
    arguments = (str(box.run_directory), str(box.scratch), str(box.rootfs))
    out, which = box.user.call(_use, *arguments) if box.user else _use(*arguments)
    assert out.startswith("77\n")
    assert "LOOPBACK,UP" in out and out.endswith("\nlo\n")
    assert which == "other"


def test_fd_that_is_no_network_namespace(root_box: Box) -> None:
    with open("/dev/null") as other:
        outcome = root_box.run("/bin/true", network=other.fileno())
    assert outcome.message == "cannot join the namespaces: invalid argument"


def test_join_refuses_other_namespaces() -> None:
    fd = os.open("/proc/self/ns/uts", os.O_RDONLY)
    with pytest.raises(OSError):
        join(fd)
    os.close(fd)


def test_abstract_sockets_and_loopback_of_the_host_are_out_of_reach(root_box: Box) -> None:
    """CVE-2020-15257."""
    import socket
    with socket.socket(socket.AF_UNIX) as abstract, socket.create_server(("127.0.0.1", 0)) as tcp:
        abstract.bind("\0pybuild-test")
        abstract.listen()
        outcome = root_box.shell(f"cat /proc/net/unix | grep -c pybuild-test; nc -w 1 127.0.0.1 {tcp.getsockname()[1]} </dev/null && echo reached")
    assert outcome.out == "0\n"


def test_sysctl_of_the_hosts_network_is_refused(root_box: Box) -> None:
    outcome = root_box.run("/bin/true", network="host", sysctls=(("net.ipv4.ip_forward", "1"),))
    assert outcome.message == "sysctl `net.ipv4.ip_forward` belongs to the host's network, which this sandbox shares"


@pytest.mark.parametrize("name", ["net/../kernel/core_pattern", "net.ipv4.x y", "", "/proc/sys/net/x", "net..x"])
def test_sysctl_with_an_odd_name_is_refused(root_box: Box, name: str) -> None:
    assert root_box.run("/bin/true", sysctls=((name, "1"),)).error == "InvalidSpec"


@pytest.mark.parametrize(("name", "path"), [
    ("net.ipv4.conf.lo.forwarding", "net/ipv4/conf/lo/forwarding"), ("net/ipv4/conf/lo/forwarding", "net/ipv4/conf/lo/forwarding"),
    ("net.ipv4.conf.eth0/1.forwarding", "net/ipv4/conf/eth0.1/forwarding"), ("net/ipv4/conf/eth0.1/forwarding", "net/ipv4/conf/eth0.1/forwarding")])
def test_sysctl_names_have_two_forms(name: str, path: str) -> None:
    assert check_sysctl(SandboxSpec(Directory("/"), ("x",)), name) == path


def test_raw_sockets_need_the_capability(box: Box) -> None:
    assert "permission denied" in box.shell("ping -c 1 -w 1 127.0.0.1", capabilities=0, user="1000").err
def _poor(run_directory: str, base: str, rootfs: str) -> tuple[str, tuple[str, ...]]:
    """(output, warnings) as root of a container that was given SYS_ADMIN, and no more."""
    held = capabilities.DEFAULT | capabilities.SYS_ADMIN
    for number in range(64):
        if not held >> number & 1:
            try:
                prctl(PR_CAPBSET_DROP, number)
            except OSError:
                break                                     # this kernel has no more
    capset(held, held, 0)
    with connect(run_directory, private=True) as client:
        spec = SandboxSpec(layers(Path(base), Path(rootfs)), ("/bin/sh", "-c", "ip link show lo; id -u"), env=(PATH,))
        read, write = os.pipe()
        with client.spawn(spec, 0, write, write) as running:
            os.close(write)
            with open(read) as file:
                return file.read(), running.warnings


def test_loopback_stays_down_where_it_may_not_be_brought_up(root_box: Box) -> None:
    out, warnings = in_fork(lambda: _poor(str(root_box.run_directory), str(root_box.scratch), str(root_box.rootfs)))
    assert "<LOOPBACK>" in out
    assert out.endswith("\n0\n")
    assert warnings == (NO_LOOPBACK,)


