"""A further process in a sandbox that runs: exec and healthchecks.

The process that prepares it joins everything but the pid namespace, so nothing inside can see it; when it has the privileges of the command
and no more, the tiny program of init.py takes its place and starts the command inside.
"""

import marshal
import os

from kernel.syscalls import (
    CLONE_NEWCGROUP,
    CLONE_NEWIPC,
    CLONE_NEWNET,
    CLONE_NEWNS,
    CLONE_NEWPID,
    CLONE_NEWTIME,
    CLONE_NEWUSER,
    CLONE_NEWUTS,
    PR_SET_PDEATHSIG,
    RESOLVE_NO_SYMLINKS,
    capget,
    openat2,
    prctl,
    setns,
)
from kernel.value import plain
from sandbox import account, departure, init, labels, privileges, wire
from sandbox.capabilities import ALL
from sandbox.errors import SandboxError
from sandbox.inside import keep_only, tell_failure
from sandbox.limits import adjust_oom_score
from sandbox.machine import Machine
from sandbox.namespaces import Shape, held_by
from sandbox.spec import ExecSpec
from sandbox.terminal import open_terminal

TYPE_CHECKING = False
if TYPE_CHECKING:
    import _socket
    from typing import NoReturn

_NAMESPACES = {"mnt": CLONE_NEWNS, "pid": CLONE_NEWPID, "net": CLONE_NEWNET, "ipc": CLONE_NEWIPC, "uts": CLONE_NEWUTS, "cgroup": CLONE_NEWCGROUP,
               "user": CLONE_NEWUSER, "time": CLONE_NEWTIME}
_SIGKILL = 9


_REHEARSAL = (plain(ExecSpec(("/",), env=(("PATH", "/"),))), b"")


def live(control: "_socket.socket", machine: Machine, shape: Shape) -> "NoReturn":
    """The whole life of the process that prepares one: a request of (packed ExecSpec, program), with stdin, stdout, stderr, the pidfd of the
    sandbox's first process, and where ids are emulated the socket for that."""
    step = "start"
    try:
        control = keep_only(control)
        os.setsid()
        prctl(PR_SET_PDEATHSIG, _SIGKILL)
        image = init.open_image()
        privileges.bound(shape.bounding, machine.last_capability)
        privileges.default_signals()
        _rehearse()
        data, fds = wire.receive_bytes(control)
        if not data:
            os._exit(0)
        packed, program = marshal.loads(data)
        spec = wire.unpack_exec(packed)
        if spec.oom_score_adj:
            adjust_oom_score(spec.oom_score_adj)          # while /proc still shows this process
            spec = spec._replace(oom_score_adj=0)
        step = "label the command"
        labels.apply(spec, machine.modules)
        step = "enter the sandbox"
        mapped = _enter(fds[3], fds[:3])
        root = os.open("/", os.O_PATH | os.O_DIRECTORY)
        streams = fds[:3]
        if spec.terminal:
            step = "make the terminal"
            dev = openat2(root, "dev", os.O_PATH | os.O_DIRECTORY, 0, RESOLVE_NO_SYMLINKS)
            outer, inner = open_terminal(dev, *spec.terminal, console=False)
            wire.send(control, ("terminal",), (outer,))
            streams = [inner] * 3
        step = "look up the user"
        who = account.find(root, spec.user, spec.groups)
        step = "enter the working directory"
        departure.enter_directory(spec.cwd)
        step = "drop privileges"
        departure.become(spec, who, streams, program, machine, held_by(spec), ALL if mapped else shape.bounding, fds[4] if len(fds) > 4 else -1)
        step = "execute"
        departure.execute_in_joined_pids(spec, departure.environment_of(spec, who), image)
    except BaseException as error:
        tell_failure(error, step)
    finally:
        os._exit(125)


def _rehearse() -> None:
    """Use what the request will use, so that the pages it writes to are our own copies before anybody waits."""
    packed, _ = marshal.loads(marshal.dumps(_REHEARSAL))
    spec = wire.unpack_exec(packed)
    account.resolve(spec.user, spec.groups, lambda name: "root:x:0:0::/root:/bin/sh\n")
    departure.environment_of(spec, account.Account(0, 0, (), "/"))
    _foreign_of("self")
    setns(os.open("/proc/self/ns/mnt", os.O_RDONLY), CLONE_NEWNS)
    capget()


def _enter(pidfd: int, streams: list[int]) -> bool:
    """Join the namespaces in which the process is and we are not (one's own cannot always be entered again): the pid namespace for children only.

    Whether it has a user namespace of its own: then we are its root, with every capability in it and in the bounding set.
    """
    with open(f"/proc/self/fdinfo/{pidfd}") as file:
        pid = next(int(line.split()[1]) for line in file if line.startswith("Pid:"))
    if pid <= 0:
        raise SandboxError("enter the sandbox", reason="it has ended")
    flags = _foreign_of(str(pid))
    if flags & CLONE_NEWUSER:
        privileges.own_streams(streams, _outer_root(pid, "uid_map"), _outer_root(pid, "gid_map"))
    setns(pidfd, flags)
    if flags & CLONE_NEWUSER:
        privileges.become_root()
    return bool(flags & CLONE_NEWUSER)


def _outer_root(pid: int, name: str) -> int:
    """What we call the id 0 of the process."""
    with open(f"/proc/{pid}/{name}") as file:
        return next((int(outside) for inside, outside, _ in map(str.split, file) if inside == "0"), 0)


def _foreign_of(pid: str) -> int:
    flags = 0
    for name, flag in _NAMESPACES.items():
        own = "pid_for_children" if name == "pid" else name
        try:
            theirs, ours = os.stat(f"/proc/{pid}/ns/{name}"), os.stat(f"/proc/self/ns/{own}")
        except FileNotFoundError:
            if name == "time":                            # not in this kernel
                continue
            raise
        flags |= flag if (theirs.st_dev, theirs.st_ino) != (ours.st_dev, ours.st_ino) else 0
    return flags
