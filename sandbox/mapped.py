"""A unit whose sandbox has a user namespace of its own: born outside of it, where host files can be opened and their owners shifted, then born again
inside, so that all the other namespaces belong to that user namespace.

What enters: a request, as of sandbox.inside. The first process has every privilege and goes away; the second one, which only gets detached mounts
from it, has none outside, and is told of by the pid that its parent hears first (as of a process in joined pids).
"""

import marshal
import os
import stat
import sys

from kernel.syscalls import (
    AT_FDCWD,
    CLONE_NEWNS,
    CLONE_NEWUSER,
    CLONE_PARENT,
    MS_PRIVATE,
    MS_REC,
    PR_SET_DUMPABLE,
    PR_SET_PDEATHSIG,
    capget,
    capset,
    clone,
    mount,
    move_mount,
    prctl,
    setfsgid,
    setfsuid,
    setns,
    unshare,
)
from sandbox import privileges, wire
from sandbox.departure import CONTROL
from sandbox.errors import SandboxError
from sandbox.idmap import Shifted, shift
from sandbox.inside import Birth, keep_only, tell_failure
from sandbox.machine import Machine
from sandbox.mounts import open_source
from sandbox.namespaces import Shape, joined
from sandbox.spec import Bind, Overlay, SandboxSpec
from sandbox.tree import SECURE, new_mount

TYPE_CHECKING = False
if TYPE_CHECKING:
    import _socket
    from typing import NoReturn

    Sources = tuple[int, int, dict[int, int]]             # as Birth.open_sources gives them

_SIGKILL = 9


def live(control: "_socket.socket", machine: Machine, shape: Shape) -> "NoReturn":
    """The whole life of the process outside; in it the other one begins."""
    step = "prepare the sandbox"
    try:
        control = keep_only(control)
        prctl(PR_SET_PDEATHSIG, _SIGKILL)
        data, fds = wire.receive_bytes(control)
        if not data:
            os._exit(0)
        packed, program = marshal.loads(data)
        spec = wire.unpack(packed, fds)
        assert isinstance(spec.user_namespace, int), "such are the specs of this shape"
        unshare(CLONE_NEWNS)
        mount(None, b"/", None, MS_REC | MS_PRIVATE)
        home = os.open("/proc/self/ns/mnt", os.O_RDONLY)
        stage = new_mount(b"tmpfs", SECURE, ((b"mode", b"755"), (b"size", b"1m")))
        move_mount(stage, AT_FDCWD, os.fsencode(machine.stage))
        step = "join the namespaces"
        for fd, flag in joined(spec):
            setns(fd, flag)
        step = "mount /sys"
        _show_sys()
        step = "open the sources of mounts"
        sources = _open_sources(spec, fds[3], home, stage, machine.stage)
        privileges.own_streams(fds[:3], *spec.outer_root)
        step = "enter the user namespace"
        os.fchdir(stage)                                  # the way to it is closed to who is nobody here
        setns(spec.user_namespace, CLONE_NEWUSER)
        privileges.become_root()
        _bear(control, machine, shape, spec, program, fds, sources)
    except BaseException as error:
        tell_failure(error, step)
    finally:
        os._exit(125)


def _show_sys() -> None:
    """A sysfs of the network that the sandbox is in, for it to see that the machine hides nothing of one: only then may it mount its own."""
    try:
        move_mount(new_mount(b"sysfs", SECURE), AT_FDCWD, b"/sys")
    except OSError as error:
        raise SandboxError("mount", error.errno or 0, "/sys") from error


def _open_sources(spec: SandboxSpec, caller: int, home: int, stage_fd: int, stage: str) -> "Sources":
    """As Birth.open_sources, with the owners shifted."""
    namespace = spec.user_namespace
    assert isinstance(namespace, int)
    setns(caller, CLONE_NEWNS)
    root = Shifted(spec.rootfs, namespace)
    overlays: dict[int, Shifted] = {}                     # by operation's id, as `found`
    found: dict[int, int] = {}
    for operation in spec.mounts:
        if isinstance(operation, Overlay):
            overlays[id(operation)] = Shifted(operation, namespace)
            continue
        found[id(operation)] = tree = open_source(operation, user_xattrs=False)
        if isinstance(operation, Bind):
            shift(tree, namespace, operation.target, recursive=operation.recursive and stat.S_ISDIR(os.fstat(tree).st_mode))
    setns(home, CLONE_NEWNS)
    setfsuid(spec.outer_root[0])                          # whoever mounts an overlay makes its files: 0 is nobody in the shifted layers
    setfsgid(spec.outer_root[1])
    permitted = capget()[1]
    capset(permitted, permitted, 0)                       # what is gone with the id 0
    found |= {key: _put_together(shifted, f"{key}", stage_fd, stage) for key, shifted in overlays.items()}
    return _put_together(root, "root", stage_fd, stage), root.open_upper(), found


def _put_together(shifted: Shifted, name: str, stage_fd: int, stage: str) -> int:
    os.mkdir(name, 0o700, dir_fd=stage_fd)
    return shifted.open(os.open(name, os.O_PATH | os.O_DIRECTORY, dir_fd=stage_fd), f"{stage}/{name}")


def _bear(control: "_socket.socket", machine: Machine, shape: Shape, spec: SandboxSpec, program: bytes, fds: list[int],
          sources: "Sources") -> "NoReturn":
    """The second process tells of itself before anything else, so that its parent knows of it if it is there at all, whoever is killed meanwhile."""
    if clone(shape.namespaces | CLONE_PARENT):
        os._exit(0)
    birth = _Inside(machine._replace(stage="."), shape, control, spec, program, fds, sources)
    try:
        prctl(PR_SET_PDEATHSIG, _SIGKILL)
        os.write(CONTROL, int(os.readlink("/proc/self")).to_bytes(4, sys.byteorder))      # what it is called outside: this /proc is the zygote's
        prctl(PR_SET_DUMPABLE, 1)                         # else /proc/self is the host root's
        birth.prepare()
        birth.go()
    except BaseException as error:
        tell_failure(error, birth.step, birth.tell_stubs)
    finally:
        os._exit(125)


class _Inside(Birth):
    __slots__ = ("_sources",)

    def __init__(self, machine: Machine, shape: Shape, control: "_socket.socket", spec: SandboxSpec, program: bytes, fds: list[int],
                 sources: "Sources") -> None:
        super().__init__(machine, shape, control)
        self._spec, self._program, self._fds, self._sources = spec, program, fds, sources

    def enter_namespaces(self) -> None:
        """Done: outside, where it was permitted."""

    def open_sources(self) -> "Sources":
        return self._sources
