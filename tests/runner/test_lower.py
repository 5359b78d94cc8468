"""A container as a sandbox."""

import pytest

from runner.container import ContainerSpec, File, Mount
from runner.errors import InvalidOption
from runner.lower import Found, exec_spec, lower, probe_spec, tmpfs
from runner.upkeep import Healthcheck
from sandbox import capabilities
from sandbox.spec import Bind, MountOp, Overlay, Tmpfs, WriteFile
from tests.runner.test_container import container

FOUND = Found(("/low",), "/up", "/work", "/dir", "host1", 7, sources={"/data": "/volumes/data"}, images={"/image": ("/other",)},
              contents={"/run/secrets/file": b"read"})


def mounts(spec: ContainerSpec, found: Found = FOUND) -> "dict[str, MountOp]":
    return {operation.target: operation for operation in lower(container(spec), found).mounts}


def test_root_is_the_writable_layer_over_the_image() -> None:
    sandbox = lower(container(ContainerSpec("i")), FOUND)
    assert sandbox.rootfs == Overlay(("/low",), "/up", "/work", volatile=False)
    assert (sandbox.argv, sandbox.cwd, sandbox.user, sandbox.network) == (("/entry", "arg"), "/srv", "app", 7)


def test_host_name_is_in_the_environment_unless_said_otherwise() -> None:
    assert dict(lower(container(ContainerSpec("i")), FOUND).env)["HOSTNAME"] == "host1"
    assert dict(lower(container(ContainerSpec("i", env=("HOSTNAME=mine",))), FOUND).env)["HOSTNAME"] == "mine"


def test_terminal_has_a_type_and_a_size() -> None:
    sandbox = lower(container(ContainerSpec("i", tty=True)), FOUND)
    assert dict(sandbox.env)["TERM"] == "xterm" and sandbox.terminal == (24, 80)
    assert lower(container(ContainerSpec("i", tty=True, console_size=(5, 9))), FOUND).terminal == (5, 9)


def test_files_of_the_network_give_way_to_mounts() -> None:
    found = mounts(ContainerSpec("i", mounts=(Mount("bind", "/etc/hosts", "/mine"),)))
    assert found["/etc/hosts"] == Bind("/mine", "/etc/hosts")
    assert found["/etc/resolv.conf"] == Bind("/dir/resolv.conf", "/etc/resolv.conf", recursive=False)


def test_every_kind_of_mount() -> None:
    found = mounts(ContainerSpec("i", mounts=(
        Mount("volume", "/data", "data", readonly=True, subpath="/sub/"), Mount("image", "/image", "other", subpath="usr"), Mount("tmpfs", "/tmp", size=5),
        Mount("bind", "/srv", "/home", propagation="rshared")), files=(File("/run/secrets/file", "/secret", uid=5, mode=0o400),)))
    assert found["/data"] == Bind("/volumes/data", "/data", readonly=True, below="sub")
    assert found["/image"] == Overlay(("/other",), target="/image", source="/usr", readonly=True)
    assert found["/tmp"] == Tmpfs("/tmp", 5, noexec=True)
    assert found["/srv"] == Bind("/home", "/srv", propagation="shared")
    assert found["/run/secrets/file"] == WriteFile("/run/secrets/file", b"read", 0o400, 5, readonly=True)


def test_privileged_binds_have_their_devices() -> None:
    found = mounts(ContainerSpec("i", privileged=True, mounts=(Mount("bind", "/dev", "/dev"),)))
    assert found["/dev"] == Bind("/dev", "/dev", nodev=False)


def test_unknown_propagation_is_an_error() -> None:
    with pytest.raises(InvalidOption, match="`sideways`"):
        mounts(ContainerSpec("i", mounts=(Mount("bind", "/x", "/x", propagation="sideways"),)))


@pytest.mark.parametrize(("options", "expected"), [
    ((), Tmpfs("/t", noexec=True)), (("exec", "size=64m", "mode=700"), Tmpfs("/t", 64 << 20, 0o700)),
    (("ro", "uid=5", "gid=6"), Tmpfs("/t", uid=5, gid=6, readonly=True, noexec=True)), (("suid",), Tmpfs("/t", noexec=True, nosuid=False))])
def test_tmpfs_options(options: "tuple[str, ...]", expected: Tmpfs) -> None:
    assert tmpfs(Mount("tmpfs", "/t", options=options)) == expected


@pytest.mark.parametrize("option", ["size=lots", "mode=999", "upperdir=/etc", "size", "uid=-1"])
def test_tmpfs_options_are_checked(option: str) -> None:
    with pytest.raises(InvalidOption):
        tmpfs(Mount("tmpfs", "/t", options=(option,)))


def test_capabilities_are_added_and_dropped() -> None:
    sandbox = lower(container(ContainerSpec("i", cap_add=("SYS_PTRACE",), cap_drop=("ALL",))), FOUND)
    assert sandbox.capabilities == capabilities.bit("SYS_PTRACE")


def test_host_uts_keeps_the_hosts_name() -> None:
    assert lower(container(ContainerSpec("i")), FOUND._replace(uts="host")).hostname == ""


def test_exec_is_like_the_container() -> None:
    spec = exec_spec(container(ContainerSpec("i", env=("A=2",), no_new_privileges=True, hostname="web")), ("ls",), env=("B=3",))
    assert dict(spec.env) | {"PATH": ""} == {"A": "2", "B": "3", "PATH": "", "HOSTNAME": "web"}
    assert (spec.cwd, spec.user, spec.no_new_privileges, spec.cgroup) == ("/srv", "app", True, "ab" * 6)


def test_exec_with_its_own_user_and_directory() -> None:
    spec = exec_spec(container(ContainerSpec("i")), ("ls",), user="0", working_dir="/tmp", privileged=True)
    assert (spec.user, spec.cwd, spec.privileged) == ("0", "/tmp", True)


@pytest.mark.parametrize(("test", "argv"), [
    (("CMD", "curl", "-f"), ("curl", "-f")), (("CMD-SHELL", "curl -f x"), ("/bin/sh", "-c", "curl -f x")), (("curl",), ("curl",))])
def test_probe_runs_what_the_check_says(test: "tuple[str, ...]", argv: "tuple[str, ...]") -> None:
    assert probe_spec(container(ContainerSpec("i")), Healthcheck(test)).argv == argv
