"""The keeper of a command that another runtime (crun, runc) starts: it makes network, names and root as for our own, has the rest done from an
OCI bundle, and is the parent of what runs.

It is the first process of a pid namespace above the command's: when it dies, so does all that is below. Bundle, root and the runtime's state are
on a tmpfs of its own mount namespace, so nothing is left of them.
"""

import _signal  # type: ignore[import-not-found]
import _socket
import marshal
import os
import time

from kernel.syscalls import (
    CLONE_NEWNS,
    CLONE_NEWPID,
    MNT_DETACH,
    MOUNT_ATTR_RDONLY,
    MS_PRIVATE,
    MS_REC,
    PR_SET_CHILD_SUBREAPER,
    PR_SET_PDEATHSIG,
    capget,
    close_range,
    mount,
    pidfd_open,
    prctl,
    setns,
    umount2,
    unshare,
)
from sandbox import capabilities, command, departure, wire
from sandbox.departure import CONTROL
from sandbox.errors import InvalidSpec, SandboxError
from sandbox.inside import Birth, keep_only, tell_failure
from sandbox.limits import clamped, set_sysctls
from sandbox.spec import NO_LIMITS, Bind, Proc
from sandbox.terminal import resize
from sandbox.tree import SECURE, attach, new_mount

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, NoReturn

    from sandbox.account import Account
    from sandbox.machine import Machine
    from sandbox.namespaces import Shape
    from sandbox.spec import SandboxSpec

NESTED = CLONE_NEWPID                                     # in its shape: the keeper is the first process of a pid namespace
VERDICT = 5                                               # bytes about the end: the wait status, and whether memory ran out
_SIGTERM = 15
_MOMENT_S = 0.0005
_UNIFIED = "/sys/fs/cgroup/unified"                       # version 2 beside version 1: crun gives up where it sees controllers in both
_LOG_MAX = 1 << 16
_PATH_DEFAULT = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def live(control: "_socket.socket", machine: "Machine", shape: "Shape") -> "NoReturn":
    """The whole life of a keeper. Its request is (packed spec, path of the cgroup), the fds of the spec, and one for the verdict."""
    keeper = None
    try:
        keeper = _Keeper(machine, shape, keep_only(control))
        keeper.prepare()
        keeper.run()
    except BaseException as error:
        if keeper:
            tell_failure(error, keeper.step, keeper.tell_stubs)
            keeper.take_back()
        else:
            tell_failure(error, "start")
    finally:
        os._exit(125)


class _Orphaned(BaseException):
    """Whoever wanted the command is gone."""


def _on_death(number: int, frame: object) -> None:
    raise _Orphaned


class _Keeper(Birth):
    __slots__ = ("_cgroup", "_created", "_id")

    def prepare(self) -> None:
        """The request comes first: nothing of this is made ahead."""
        self._created = False
        data, self._fds = wire.receive_bytes(self._control)
        if not data:
            os._exit(0)
        packed, self._cgroup = marshal.loads(data)
        self._spec = spec = wire.unpack(packed, self._fds)
        _check(spec)
        self._id = spec.cgroup.rpartition("/")[2] or f"pybuild-{os.urandom(8).hex()}"
        setns(self._fds[3], CLONE_NEWNS)                  # here the runtime is a program like any other
        unshare(CLONE_NEWNS)
        mount(None, b"/", None, MS_REC | MS_PRIVATE)
        if self._shape.namespaces & NESTED:
            mount(b"proc", b"/proc", b"proc", SECURE)
        if os.path.isdir(_UNIFIED):
            _hide(_UNIFIED)
        super().prepare()
        if not self._shape.namespaces & NESTED:
            prctl(PR_SET_CHILD_SUBREAPER, 1)
            _signal.signal(_SIGTERM, _on_death)
            prctl(PR_SET_PDEATHSIG, _SIGTERM)

    def _mount_proc(self) -> None:
        """The runtime mounts the command's over this one, in which nothing can be mounted before."""
        attach(new_mount(b"tmpfs", SECURE | MOUNT_ATTR_RDONLY, ((b"mode", b"555"), (b"size", b"4k"))), self._stage, b"proc")

    def run(self) -> "NoReturn":
        spec = self._spec
        self._join()
        root_fd, _, _, who = self._furnish()
        self._name_host()
        self.step = "set sysctls"
        set_sysctls(spec)
        self._look_for_command(root_fd, who)
        self.step = f"use `{os.path.basename(spec.runtime)}`"
        os.fchdir(self._stage)
        self._write_config(who)
        if spec.terminal:                                 # what the runtime binds the terminal on: crun makes none in such a /dev
            os.close(os.open("root/dev/console", os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_NOFOLLOW, 0o600))
        listener = self._listen() if spec.terminal else None
        self._created = True
        streams = [departure.own_null(fd, "root/dev/null") for fd in self._fds[:3]]
        self._call("create", "--bundle", self._machine.stage, "--pid-file", f"{self._machine.stage}/pid",
                   *(["--console-socket", f"{self._machine.stage}/tty"] if listener else []), streams=streams)
        if listener:
            self._hand_on_terminal(listener)
        with open("pid") as file:
            pid = int(file.read())
        pidfd = pidfd_open(pid)
        waiting = _program_of(pid)
        self._call("start")
        while _program_of(pid) == waiting:                # it returns before the command is executed: nobody is to meet the runtime inside
            time.sleep(_MOMENT_S)
        wire.send(self._control, ("running",), (pidfd,))
        os.dup2(self._fds[-1], CONTROL, inheritable=False)
        close_range(CONTROL + 1)                          # whoever reads the command's output is to see its end
        self._keep(pid)

    # ---------------------------------------------------------------- before
    def _look_for_command(self, root_fd: int, who: "Account") -> None:
        """What is missing is said in our words: the runtime would have only "failed" and a text of its own."""
        self.step = "enter the root"
        spec = self._spec
        pid = os.fork()
        if pid:
            if os.waitpid(pid, 0)[1]:
                os._exit(125)
            return
        try:
            os.fchdir(root_fd)
            os.chroot(".")
            self.step = "enter the working directory"
            departure.enter_directory(spec.cwd)
            self.step = "execute"
            command.find(spec.argv[0], departure.environment_of(spec, who))
            os._exit(0)
        except BaseException as error:
            tell_failure(error, self.step)
        finally:
            os._exit(1)

    def _write_config(self, who: "Account") -> None:
        import json

        from sandbox import bundle

        spec = self._spec
        # done already, in the namespaces that the runtime is in and the root that it is given: mounts, names, sysctls, limits
        rest = spec._replace(mounts=(), sysctls=(), hostname="", limits=NO_LIMITS, rlimits=clamped(spec.rlimits))
        document = bundle.config(rest, who, {}, os.uname().machine)
        process, linux = document["process"], document["linux"]
        ours = set(capabilities.names(capget()[0]))       # of "all" some may be missing already
        process["capabilities"] = {kind: [name for name in names if name in ours] for kind, names in process["capabilities"].items()}
        document["root"]["path"] = "root"
        # a /dev that is bound is one in which runc makes nothing: an ordinary user may not
        dev = {"destination": "/dev", "type": "bind", "source": f"{self._machine.stage}/root/dev", "options": ["rbind"]}
        document["mounts"] = [dev, self._proc()]
        if spec.terminal:
            process["consoleSize"] = {"height": spec.terminal[0], "width": spec.terminal[1]}
        if not spec.oom_score_adj or (spec.oom_score_adj < 0 and self._machine.rootless):
            del process["oomScoreAdj"]
        linux["namespaces"] = [{"type": "mount"}]
        if spec.pid != "host":
            linux["namespaces"].append({"type": "pid", **self._path_of(spec.pid)})
        if spec.cgroup_namespace != "host":
            linux["namespaces"].append({"type": "cgroup", **self._path_of(spec.cgroup_namespace)})
        linux["resources"] = {} if self._machine.rootless or not self._managed else {"devices": [
            {"allow": spec.privileged, "access": "rwm"}, *(_device(device.source, device.permissions) for device in spec.devices),
            *map(_ruled, spec.device_rules)]}
        for key in ("maskedPaths", "readonlyPaths"):      # what is below /sys is hidden already
            if key in linux:
                linux[key] = [path for path in linux[key] if path.startswith("/proc/")]
        if self._cgroup and self._managed:
            linux["cgroupsPath"] = self._cgroup
        try:
            text = json.dumps(document, ensure_ascii=False).encode()
        except UnicodeEncodeError as error:
            raise InvalidSpec("a word of the command, or of its environment,", reason="is no UTF-8, which another runtime wants") from error
        with open("config.json", "wb") as file:
            file.write(text)

    def _proc(self) -> "dict[str, Any]":
        if self._spec.pid == "host" and self._machine.rootless:
            return {"destination": "/proc", "type": "bind", "source": "/proc", "options": ["rbind", "nosuid", "noexec", "nodev"]}
        return {"destination": "/proc", "type": "proc", "source": "proc", "options": ["nosuid", "noexec", "nodev"]}

    @staticmethod
    def _path_of(namespace: "str | int") -> "dict[str, str]":
        return {"path": f"/proc/{os.getpid()}/fd/{namespace}"} if isinstance(namespace, int) else {}

    # ---------------------------------------------------------------- the runtime
    def _call(self, verb: str, *words: str, streams: "list[int] | None" = None) -> None:
        """Raises SandboxError with what the runtime says."""
        spec, null = self._spec, os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC)
        log = f"{self._machine.stage}/log"
        managed = () if self._managed else ("--cgroup-manager=disabled",)
        argv = [spec.runtime, "--root", f"{self._machine.stage}/state", "--log", log, "--log-format", "json", *managed, verb, *words, self._id]
        pid = os.fork()
        if not pid:
            try:
                for number, fd in enumerate(streams or [null] * 3):
                    os.dup2(fd, number)
                os.execve(spec.runtime, argv, {"PATH": _PATH_DEFAULT})
            finally:
                os._exit(127)
        os.close(null)
        if os.waitpid(pid, 0)[1]:
            raise SandboxError(self.step, reason=_last_error(log) or f"`{verb}` failed without a word")

    @property
    def _managed(self) -> bool:
        """Whether the runtime sees to the cgroup. runc looks itself whether there is one to be had, crun would fail."""
        return bool(self._cgroup) or os.path.basename(self._spec.runtime) != "crun"

    def _listen(self) -> "_socket.socket":
        listener = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
        listener.bind("tty")                              # its whole path may be longer than an address
        listener.listen(1)
        return listener

    def _hand_on_terminal(self, listener: "_socket.socket") -> None:
        assert self._spec.terminal
        fd, _ = listener._accept()                        # type: ignore[attr-defined]
        connection = wire.socket_of(fd)
        _, fds = wire.receive_bytes(connection)
        connection.close()
        listener.close()
        if not fds:
            raise SandboxError(self.step, reason="it gave no terminal")
        resize(fds[0], *self._spec.terminal)
        wire.send(self._control, ("terminal",), (fds[0],))
        os.close(fds[0])

    # ---------------------------------------------------------------- while it runs
    def _keep(self, pid: int) -> "NoReturn":
        try:
            while True:
                ended, status = os.waitpid(-1, 0)
                if ended == pid:
                    break
            os.pwrite(CONTROL, status.to_bytes(4, "little") + bytes([self._ran_out()]), 0)
        finally:
            self.take_back()
            os._exit(0)

    def _ran_out(self) -> bool:
        """Whether the kernel killed something for want of memory; asked before the runtime removes the group."""
        for name in (f"/sys/fs/cgroup/memory{self._cgroup}/memory.oom_control", f"/sys/fs/cgroup{self._cgroup}/memory.events"):
            try:
                with open(name) as file:
                    return any(line.startswith("oom_kill ") and line.split()[1] != "0" for line in file)
            except OSError:
                continue
        return False

    def take_back(self) -> None:
        """Have the runtime remove what it has made outside of here: its cgroups. The command dies if it still runs."""
        if self._created:
            try:
                self._call("delete", "--force")
            except (SandboxError, OSError):
                return                                    # nobody is there to be told; the command dies with this process


def _program_of(pid: int) -> str:
    """What it executes; "" if it has ended."""
    try:
        return os.readlink(f"/proc/{pid}/exe")
    except OSError:
        return ""


def _hide(target: str) -> None:
    try:
        umount2(target.encode(), MNT_DETACH)
    except OSError:                                       # not ours to unmount, or not mounted
        mount(b"tmpfs", target.encode(), b"tmpfs", SECURE | MOUNT_ATTR_RDONLY)


def _check(spec: "SandboxSpec") -> None:
    """Raises InvalidSpec for what only our own sandboxes can do."""
    if spec.clocks_ahead is not None:
        raise InvalidSpec("clocks", reason="cannot be shifted below another runtime")
    if spec.init:
        raise InvalidSpec("an init of ours", reason="cannot be run by another runtime")
    for operation in spec.mounts:
        if isinstance(operation, Proc):
            raise InvalidSpec("a further /proc", path=operation.target, reason="cannot be had with another runtime")
        if isinstance(operation, Bind) and operation.propagation == "shared":
            raise InvalidSpec("a mount that is shared", path=operation.target, reason="cannot be had with another runtime")


def _device(source: str, permissions: str) -> "dict[str, Any]":
    status = os.stat(source)
    return {"allow": True, "type": "b" if status.st_mode & 0o170000 == 0o060000 else "c", "major": os.major(status.st_rdev),
            "minor": os.minor(status.st_rdev), "access": permissions}


def _ruled(rule: str) -> "dict[str, Any]":
    """`c 189:* rwm`, or `a`."""
    kind, numbers, accesses = rule.split() if " " in rule.strip() else ("a", "*:*", "rwm")
    major, _, minor = numbers.partition(":")
    named = {"type": kind, **{key: int(word) for key, word in (("major", major), ("minor", minor)) if word != "*"}}
    return {"allow": True, "access": accesses, **named}


def _last_error(log: str) -> str:
    """The message of the last error in the runtime's log, one line; "" if there is none."""
    import json

    found = ""
    try:
        with open(log, encoding="utf-8", errors="replace") as file:
            lines = file.read(_LOG_MAX).splitlines()
    except OSError:
        return ""
    for line in lines:
        try:
            entry = json.loads(line)
        except ValueError:
            continue
        if isinstance(entry, dict) and entry.get("level") in ("error", "fatal"):
            found = str(entry.get("msg", ""))
    return found.strip().partition("\n")[0]
