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
    CLONE_NEWUTS,
    PR_SET_PDEATHSIG,
    RESOLVE_NO_SYMLINKS,
    openat2,
    prctl,
    setns,
)
from sandbox import account, departure, init, privileges, wire
from sandbox.capabilities import ALL
from sandbox.errors import SandboxError
from sandbox.inside import keep_only, tell_failure
from sandbox.machine import Machine
from sandbox.terminal import open_terminal

TYPE_CHECKING = False
if TYPE_CHECKING:
    import _socket
    from typing import NoReturn

_NAMESPACES = {"mnt": CLONE_NEWNS, "pid": CLONE_NEWPID, "net": CLONE_NEWNET, "ipc": CLONE_NEWIPC, "uts": CLONE_NEWUTS, "cgroup": CLONE_NEWCGROUP}
_SIGKILL = 9


def live(control: "_socket.socket", machine: Machine) -> "NoReturn":
    """The whole life of the process that prepares one: a request of (packed ExecSpec, program), with stdin, stdout, stderr and the pidfd of the
    sandbox's first process."""
    step = "start"
    try:
        control = keep_only(control)
        os.setsid()
        prctl(PR_SET_PDEATHSIG, _SIGKILL)
        data, fds = wire.receive_bytes(control)
        if not data:
            os._exit(0)
        packed, program = marshal.loads(data)
        spec = wire.unpack_exec(packed)
        step = "enter the sandbox"
        setns(fds[3], _foreign(fds[3]))                   # the pid namespace: for children only
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
        image = init.open_image()
        step = "drop privileges"
        privileges.default_signals()
        held = ALL if spec.privileged else spec.capabilities
        departure.become(spec, who, streams, program, machine, held, ALL)
        step = "execute"
        departure.execute_in_joined_pids(spec, departure.environment_of(spec, who), image)
    except BaseException as error:
        tell_failure(error, step)
    finally:
        os._exit(125)


def _foreign(pidfd: int) -> int:
    """Flags of the namespaces in which the process is and we are not: one's own cannot always be entered again."""
    with open(f"/proc/self/fdinfo/{pidfd}") as file:
        pid = next(int(line.split()[1]) for line in file if line.startswith("Pid:"))
    if pid <= 0:
        raise SandboxError("enter the sandbox", reason="it has ended")
    flags = CLONE_NEWPID
    for name, flag in _NAMESPACES.items():
        theirs, ours = os.stat(f"/proc/{pid}/ns/{name}"), os.stat(f"/proc/self/ns/{name}")
        flags |= flag if (theirs.st_dev, theirs.st_ino) != (ours.st_dev, ours.st_ino) else 0
    return flags
