"""The whole way from a spec to a process, as root and as an ordinary user with subordinate ids."""

import os
import signal
from pathlib import Path

import pytest

from sandbox.client import connect
from sandbox.errors import InvalidSpec
from sandbox.spec import Bind, Directory, Overlay, Rlimit, SandboxSpec, Symlink, Tmpfs, WriteFile
from tests.sandbox.harness import PATH, Box

pytestmark = pytest.mark.userns


def test_spawn_true(box: Box) -> None:
    outcome = box.run("/bin/true")
    assert outcome.exit and outcome.exit.code == 0
    assert outcome.upper == {}


def test_exit_status_is_handed_on(box: Box) -> None:
    outcome = box.shell("exit 7")
    assert outcome.exit and (outcome.exit.status, outcome.exit.signal, outcome.exit.code) == (7, 0, 7)


def test_streams_are_the_callers(box: Box) -> None:
    outcome = box.shell("read line; echo out $line; echo err >&2", stdin=b"word\n")
    assert (outcome.out, outcome.err) == ("out word\n", "err\n")


def test_command_missing_in_path(box: Box) -> None:
    outcome = box.run("nope")
    assert (outcome.error, outcome.message) == ("CommandMissing", "command `nope` is not in the PATH of the image")


def test_command_missing_by_path(box: Box) -> None:
    outcome = box.run("/no/such")
    assert (outcome.error, outcome.message) == ("CommandMissing", "cannot execute `/no/such`: no such file or directory")


def test_command_not_executable(box: Box) -> None:
    outcome = box.run("/etc/passwd")
    assert (outcome.error, outcome.message) == ("CommandFailed", "cannot execute `/etc/passwd`: permission denied")


def test_command_with_missing_interpreter(box: Box) -> None:
    outcome = box.run("/script", mounts=(WriteFile("/script", b"#!/no/interpreter\n", 0o755),))
    assert (outcome.error, outcome.message) == ("CommandMissing", "cannot execute `/script`: its interpreter is missing")
    assert outcome.upper == {}


def test_nothing_of_the_host_is_seen(box: Box) -> None:
    outcome = box.shell("ls /; set -- /proc/[0-9]*; echo $#; hostname; ip link | grep -c ': '; ls /proc/1/task")
    assert outcome.out.split() == ["bin", "dev", "etc", "home", "proc", "root", "sys", "tmp", "1", "localhost", "1", "1"]


def test_loopback_is_up_and_alone(box: Box) -> None:
    assert "LOOPBACK,UP" in box.shell("ip link show lo").out


def test_owners_are_kept(box: Box) -> None:
    outcome = box.shell("echo x >/file; chown 33:44 /file; chmod 4755 /file; mkdir /d; mkfifo /d/fifo; ln -s x /link")
    expected = {"file": "-rwsr-xr-x 33:44 2", "d": "drwxr-xr-x 0:0", "d/fifo": "prw-r--r-- 0:0 0", "link": "lrwxrwxrwx 0:0 x"}
    assert outcome.upper == expected


def test_removed_files_become_whiteouts(box: Box) -> None:
    assert box.shell("rm /etc/group").upper["etc/group"] == "c--------- 0:0 0"


def test_user_by_name_with_groups_and_home(box: Box) -> None:
    outcome = box.shell("id; echo $HOME", user="app")
    assert outcome.out == "uid=1000(app) gid=1000(app) groups=10(wheel),44(video),1000(app)\n/home/app\n"


def test_user_by_number_and_group_by_name(box: Box) -> None:
    assert box.shell("id -u; id -g; id -G; echo $HOME", user="1234:video").out.split("\n")[:4] == ["1234", "44", "44", "/"]


def test_root_has_its_groups_and_home(box: Box) -> None:
    assert box.shell("id -G; echo $HOME").out == "0 10\n/root\n"


def test_home_of_env_wins(box: Box) -> None:
    assert box.shell("echo $HOME", env=(PATH, ("HOME", "/elsewhere"))).out == "/elsewhere\n"


def test_unknown_user_and_group(box: Box) -> None:
    assert box.run("/bin/true", user="bob").message == "no user `bob` in the image"
    assert box.run("/bin/true", user="0:wheels").message == "no group `wheels` in the image"


def test_additional_groups(box: Box) -> None:
    assert box.shell("id -G", user="1000", groups=("tty", "77")).out == "1000 5 10 44 77\n"


def test_capabilities_of_root_and_user(box: Box) -> None:
    script = "grep -E 'Cap(Inh|Prm|Eff|Bnd|Amb)' /proc/self/status | cut -f2"
    assert set(box.shell(script, user="0").out.split()) == {"0000000000000000", "00000000a80425fb"}
    assert box.shell(script, user="1000").out.split() == ["0" * 16, "0" * 16, "0" * 16, "00000000a80425fb", "0" * 16]
    assert box.shell(script, capabilities=0).out.split() == ["0" * 16] * 5


def test_seccomp_is_on_and_can_be_off(box: Box) -> None:
    script = "grep -E 'Seccomp:|NoNewPrivs' /proc/self/status | cut -f2"
    assert box.shell(script).out.split() == ["0", "2"]
    assert box.shell(script, seccomp="unconfined").out.split() == ["0", "0"]
    assert box.shell(script, no_new_privileges=True).out.split() == ["1", "2"]


def test_signals_are_default(box: Box) -> None:
    assert box.shell("grep -E 'Sig(Blk|Ign)' /proc/self/status | cut -f2").out.split() == ["0" * 16, "0000000180000000"]      # 32 and 33: libc's own


def test_no_descriptor_leaks(box: Box) -> None:
    """Whatever the caller, the zygote and the unit had open: three streams, and the one that ls opens."""
    assert box.run("/bin/ls", "/proc/self/fd").out.split() == ["0", "1", "2", "3"]


def test_working_directory_is_made(box: Box) -> None:
    outcome = box.shell("pwd", cwd="/srv/app")
    assert outcome.out == "/srv/app\n"
    assert outcome.upper == {"srv": "drwxr-xr-x 0:0", "srv/app": "drwxr-xr-x 0:0"}


def test_working_directory_through_magic_link_is_refused(box: Box) -> None:
    outcome = box.run("/bin/pwd", cwd="/proc/self/fd/3")
    assert outcome.error == "SandboxError"
    assert "working directory" in outcome.message


def test_hostname_and_domainname(box: Box) -> None:
    assert box.shell("hostname; cat /proc/sys/kernel/domainname", hostname="web", domainname="example").out == "web\nexample\n"


def test_umask(box: Box) -> None:
    assert box.shell("umask", umask=0o077).out == "0077\n"


def test_readonly_root(box: Box) -> None:
    outcome = box.shell("touch /x; touch /run/y && echo ok", readonly_root=True, mounts=(Tmpfs("/run"),))
    assert outcome.out == "ok\n"
    assert "Read-only file system" in outcome.err
    assert outcome.upper == {}


def test_masked_paths(box: Box) -> None:
    outcome = box.shell("cat /proc/keys /proc/timer_list; ls /sys/firmware; echo 1 > /proc/sys/kernel/randomize_va_space")
    assert outcome.out == ""
    assert outcome.err.count("Read-only file system") == 1


def test_rlimits_are_set_and_clamped(box: Box) -> None:
    limits = (Rlimit("nofile", 100, 200), Rlimit("core", -1, -1))
    assert box.shell("ulimit -Sn; ulimit -Hn", rlimits=limits).out == "100\n200\n"
    assert box.run("/bin/true", rlimits=(Rlimit("nofile", 1 << 40, 1 << 40),)).exit


def test_sysctl_of_own_namespace(box: Box) -> None:
    assert box.shell("cat /proc/sys/net/ipv4/ip_unprivileged_port_start", sysctls=(("net.ipv4.ip_unprivileged_port_start", "80"),)).out == "80\n"


def test_sysctl_of_the_machine_is_refused(box: Box) -> None:
    message = "sysctl `kernel.core_pattern` belongs to the whole machine, not to the sandbox"
    assert box.run("/bin/true", sysctls=(("kernel.core_pattern", "x"),)).message == message


def test_bind_sees_the_callers_file(box: Box, tmp_path: Path) -> None:
    (tmp_path / "note").write_text("from the host\n")
    for parent in (tmp_path, *list(tmp_path.parents)[:-2]):
        parent.chmod(parent.stat().st_mode | 0o055)
    outcome = box.shell("cat /mnt/a/note; echo x > /mnt/a/y", mounts=(Bind(str(tmp_path), "/mnt/a", readonly=True),))
    assert outcome.out == "from the host\n"
    assert "Read-only file system" in outcome.err
    assert outcome.upper == {}


def test_bind_of_missing_source(box: Box) -> None:
    outcome = box.run("/bin/true", mounts=(Bind("/no/such/source", "/mnt"),))
    assert outcome.message == "cannot open the source of a mount `/no/such/source`: no such file or directory"


def test_mounts_are_ordered_by_depth(box: Box) -> None:
    mounts = (WriteFile("/a/b/file", b"inner"), Tmpfs("/a/b"), Tmpfs("/a"))
    outcome = box.shell("cat /a/b/file", mounts=mounts)
    assert (outcome.out, outcome.upper) == ("inner", {})


def test_overlay_as_a_mount_with_a_source_inside(box: Box) -> None:
    mounts = (Overlay((str(box.rootfs),), source="/etc", target="/from"), Overlay((str(box.rootfs),), source="/etc/passwd", target="/file"))
    outcome = box.shell("ls /from; head -c 4 /file; touch /from/x", mounts=mounts)
    assert outcome.out == "group\npasswd\nroot"
    assert "Read-only file system" in outcome.err


def test_symlink_is_there_and_gone(box: Box) -> None:
    outcome = box.shell("readlink /run/x/link", mounts=(Symlink("/run/x/link", "/target"),))
    assert (outcome.out, outcome.upper) == ("/target\n", {})


def test_write_file_mode_owner_and_readonly(box: Box) -> None:
    secret = WriteFile("/run/secrets/key", b"s3cret", 0o400, 1000, 1000, readonly=True)
    outcome = box.shell("cat /run/secrets/key; ls -ln /run/secrets/key | cut -c1-10; echo x > /run/secrets/key", mounts=(secret,), user="1000")
    assert outcome.out == "s3cret-r--------\n"
    assert outcome.upper == {}


def test_directory_as_root(box: Box) -> None:
    outcome = box.shell("cat /etc/group | head -1; touch /x", rootfs=Directory(str(box.rootfs), readonly=True))
    assert outcome.error == "SandboxError"             # the test root has no /proc to mount on, and may not be changed
    assert outcome.message == "cannot make the mount point `proc`: read-only file system"


def test_large_environment_and_arguments(box: Box) -> None:
    outcome = box.shell("echo ${#BIG} ${#0}", env=(PATH, ("BIG", "x" * 100_000)))
    assert outcome.out.split()[0] == "100000"


def test_arguments_that_are_no_text(box: Box) -> None:
    outcome = box.run("/bin/echo", os.fsdecode(b"\xff\xfe"), "é")
    assert outcome.out.encode(errors="replace") == "\ufffd\ufffd é\n".encode()


def test_host_network_is_the_callers(box: Box) -> None:
    outcome = box.shell("readlink /proc/self/ns/net; ls /sys/class/net", network="host")
    assert outcome.out.split()[0] == os.readlink("/proc/self/ns/net")
    assert "lo" in outcome.out.split()


def test_terminal(root_box: Box) -> None:
    script = "tty; stty size; test -t 0 && test -t 1 && test -t 2 && echo all; ls -l /dev/console | cut -c1; exec 0</dev/tty && echo ctty"
    spec = SandboxSpec(Overlay((str(root_box.rootfs),), *_layers(root_box.scratch)), ("/bin/sh", "-c", script), env=(PATH,), terminal=(11, 99))
    with connect(str(root_box.run_directory)) as client, client.spawn(spec) as running:
        text = b""
        try:
            while more := os.read(running.terminal, 1000):
                text += more
        except OSError:
            pass                                        # EIO: the last process of the terminal is gone
        assert running.wait().code == 0
    assert text.decode().split() == ["/dev/pts/0", "11", "99", "all", "c", "ctty"]


def _layers(base: Path) -> tuple[str, str]:
    for name in ("upper", "work"):
        (base / name).mkdir()
    return str(base / "upper"), str(base / "work")


def _spec(box: Box, *argv: str) -> SandboxSpec:
    return SandboxSpec(Overlay((str(box.rootfs),), *_layers(box.scratch)), argv, env=(PATH,))


def _cmdlines() -> str:
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            found.append(Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace"))
        except OSError:
            pass
    return "\n".join(found)


def test_kill_with_a_signal(root_box: Box) -> None:
    with connect(str(root_box.run_directory)) as client, client.spawn(_spec(root_box, "/bin/sleep", "1001")) as running:
        running.kill(signal.SIGKILL)
        exit = running.wait()
    assert (exit.signal, exit.code) == (9, 137)


def test_closing_the_connection_kills(root_box: Box) -> None:
    with connect(str(root_box.run_directory)) as client:
        running = client.spawn(_spec(root_box, "/bin/sh", "-c", "sleep 1002 & sleep 1002"))
    pidfd = os.dup(running.pidfd)
    running.close()
    _wait_for(pidfd)
    assert "sleep 1002" not in _cmdlines()


def test_background_processes_do_not_hold_the_waiter(root_box: Box) -> None:
    read, write = os.pipe()
    spec = _spec(root_box, "/bin/sh", "-c", "sleep 1003 & echo done")
    with connect(str(root_box.run_directory)) as client, client.spawn(spec, stdout=write) as running:
        os.close(write)
        assert running.wait().code == 0
    with open(read) as file:
        assert file.read() == "done\n"
    assert "sleep 1003" not in _cmdlines()


def test_death_of_the_client_kills(root_box: Box) -> None:
    read, write = os.pipe()
    spec = _spec(root_box, "/bin/sleep", "1004")
    pid = os.fork()
    if not pid:
        running = connect(str(root_box.run_directory)).spawn(spec)
        os.write(write, str(running.pid).encode())
        signal.pause()
    pidfd = os.pidfd_open(int(os.read(read, 20)))
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    _wait_for(pidfd)
    assert "sleep 1004" not in _cmdlines()


def _wait_for(pidfd: int) -> None:
    """Until the process behind it has ended."""
    import select
    assert select.select([pidfd], [], [], 10)[0], "it did not end within ten seconds"


@pytest.mark.parametrize("fields", [
    {"argv": ()}, {"cwd": "relative"}, {"env": (("A=B", "c"),)}, {"env": (("A", "nul\0"),)}, {"mounts": (Tmpfs("relative"),)},
    {"mounts": (Tmpfs("/"),)}, {"hostname": "h" * 65}])
def test_invalid_spec_is_refused(fields: dict[str, object]) -> None:
    with pytest.raises(InvalidSpec):
        SandboxSpec(**{"rootfs": Directory("/"), "argv": ("/bin/true",), **fields}).check()      # type: ignore[arg-type]
