"""From a SandboxSpec to a process where no namespace can be made: `ChrootClient.spawn` is what `sandbox.client.Client.spawn` is elsewhere.

The layers are copied to a plain tree (sandbox.treepool), the mounts stand in it as files (sandbox.standin), the command runs in it confined
(sandbox.confinement), and what it has changed is written to the upper directory (sandbox.capture). A process of its own does all that, and
cleans up also when whoever asked is gone.
"""

import os
import select

from kernel.paths import DIRECTORY
from sandbox import confinement, machine, wire
from sandbox.capture import capture, look, settle
from sandbox.client import Exit, Running, failure, started
from sandbox.errors import SandboxError, ZygoteLost
from sandbox.mounts import by_depth
from sandbox.process import Ended
from sandbox.spec import NO_LIMITS, Overlay, SandboxSpec
from sandbox.standin import STREAMS, StandIns
from sandbox.terminal import resize
from sandbox.treepool import TreePool

TYPE_CHECKING = False
if TYPE_CHECKING:
    import _socket
    from typing import Any

    from sandbox.capture import Seen

_CHUNK = 1 << 16


class Confined(Running):
    """As a Running; `keeper`: pid of the process that keeps it, our child, which is gone when it is closed."""

    __slots__ = ("_keeper",)

    def __init__(self, running: Running, keeper: int) -> None:
        super().__init__(running._socket, running.pid, running.pidfd, running.terminal, running.warnings)
        self._keeper = keeper

    def wait(self) -> Exit:
        """As Running.wait: what the command has changed is then in the upper directory. Raises SandboxError if that cannot be written."""
        if self._exit is None:
            message, _ = wire.receive(self._socket)
            if message is None:
                raise ZygoteLost("go on", reason="the process that kept the step is gone")
            if message[0] != "exit":
                raise failure(message)
            self._exit = Exit(*message[1:])
        return self._exit

    def close(self) -> None:
        super().close()
        if self._keeper:
            os.waitpid(self._keeper, 0)
            self._keeper = 0


class ChrootClient:
    """Runs specs whose root is an Overlay. pool: directory for trees, on the file system of the layers, emptied by the caller in the end.
    user_xattrs: overlay's marks in the layers are user.* attributes."""

    __slots__ = ("_mark", "_pool")

    def __init__(self, pool: str, user_xattrs: bool) -> None:
        self._pool = pool
        self._mark = "user.overlay.opaque" if user_xattrs else "trusted.overlay.opaque"

    def dial(self) -> None:
        pass

    def spawn(self, spec: SandboxSpec, stdin: int = 0, stdout: int = 1, stderr: int = 2) -> Running:
        """As Client.spawn. Network, pid, ipc, uts and limits of `spec` are not to be had."""
        spec.check()
        ours, theirs = wire.pair()
        keeper = os.fork()
        if not keeper:
            try:
                ours.close()
                _Keeper(theirs, spec, [stdin, stdout, stderr], TreePool(self._pool), self._mark).run()
            finally:
                os._exit(0)
        theirs.close()
        try:
            return Confined(started(ours, *wire.receive(ours)), keeper)
        except BaseException:
            ours.close()
            os.waitpid(keeper, 0)
            raise


class _Keeper:
    """The process that keeps one step."""

    def __init__(self, control: "_socket.socket", spec: SandboxSpec, streams: list[int], pool: TreePool, mark: str) -> None:
        assert isinstance(spec.rootfs, Overlay), "a step has layers"
        self._control, self._spec, self._streams, self._pool, self._mark = control, spec, streams, pool, mark
        self._overlay = spec.rootfs
        self._tree = ""
        self._root_fd = -1
        self._stand_ins: StandIns | None = None
        self._before: Seen = {}
        self._relayed: dict[int, int] = {}               # fd of a FIFO in /dev -> the stream that it stands for

    def run(self) -> None:
        os.setsid()                                      # whoever kills the group of the build must not leave the step without its keeper
        confinement.adopt()
        done = self._guarded(self._live)
        if done is None:
            confinement.sweep()
            self._guarded(self._clear)

    def _guarded(self, part: "Any") -> "Any":
        """What `part` returns; None if it fails, which is told then."""
        try:
            return part()
        except SandboxError as error:
            self._tell("failed", type(error).__name__, error.step, error.number, error.path, error.reason, error.help)
        except OSError as error:
            self._tell("failed", "SandboxError", "run the step", error.errno or 0, str(error.filename or ""), "", "")
        except Exception as error:
            self._tell("failed", "SandboxError", "run the step", 0, "", f"{type(error).__name__}: {error}", "")
        return None

    def _tell(self, *message: "Any", fds: tuple[int, ...] = ()) -> None:
        try:
            wire.send(self._control, message, fds)
        except OSError:
            pass                                         # nobody is there any more

    # ---------------------------------------------------------------- before
    def _live(self) -> bool:
        self._furnish()
        if self._spec.limits != NO_LIMITS:
            self._tell("warning", "limits are not enforced: they take control groups, and there are none without namespaces")
        if self._spec.terminal:
            self._open_terminal()
        watched = confinement.sentry_for(self._spec)
        pid, words = confinement.start(self._spec, self._root_fd, self._streams, machine.look(""), watched=watched)
        message, _ = wire.receive(words)
        if message is not None:
            os.waitpid(pid, 0)
            self._clear()
            self._tell(*message)
            return True
        pidfd = os.pidfd_open(pid)
        self._tell("started", pid, fds=(pidfd,))
        if not self._attend(pidfd):
            return self._abandon()
        _, status, usage = os.wait4(pid, 0)
        confinement.sweep()
        ended = Ended(os.WEXITSTATUS(status) if os.WIFEXITED(status) else 0, os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0,
                      usage.ru_utime, usage.ru_stime, usage.ru_maxrss * 1024, False)
        self._finish(keep=not status)
        self._tell("exit", *ended)
        return True

    def _furnish(self) -> None:
        root = self._overlay
        layers = (root.upper, *root.lower) if root.upper and os.listdir(root.upper) else root.lower
        self._tree = self._pool.take(layers)
        self._root_fd = os.open(f"{self._tree}/root", DIRECTORY)
        stand_ins = self._stand_ins = StandIns(self._root_fd, f"{self._tree}/aside")
        stand_ins.borrow(self._spec.mounts)
        stand_ins.system()
        for operation in by_depth(self._spec.mounts):
            stand_ins.mount(operation)
        for stream, fd in zip(STREAMS, self._streams[1:]):
            self._relayed[os.open(f"dev/{stream}", os.O_RDWR | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=self._root_fd)] = fd
        self._before = look(self._root_fd)
        settle(self._before)

    def _open_terminal(self) -> None:
        assert self._spec.terminal
        outer, inner = os.openpty()
        resize(outer, *self._spec.terminal)
        self._tell("terminal", fds=(outer,))
        os.close(outer)
        self._streams = [inner] * 3
        self._relayed = dict.fromkeys(self._relayed, inner)

    # ---------------------------------------------------------------- meanwhile
    def _attend(self, pidfd: int) -> bool:
        """Until the command has ended; False if nobody wants it any more."""
        poll = select.poll()
        for fd in (self._control.fileno(), pidfd, *self._relayed):
            poll.register(fd, select.POLLIN)
        while True:
            ready = {fd for fd, _ in poll.poll()}
            self._relay()
            if self._control.fileno() in ready:
                return False
            if pidfd in ready:
                return True

    def _relay(self) -> None:
        """What was written to /dev/stdout and /dev/stderr, which are no links to the streams here."""
        for fifo, stream in self._relayed.items():
            try:
                while data := os.read(fifo, _CHUNK):
                    while data:
                        data = data[os.write(stream, data):]
            except BlockingIOError:
                continue
            except OSError:
                continue                                 # nobody reads it any more

    # ---------------------------------------------------------------- after
    def _finish(self, *, keep: bool) -> None:
        """keep: the tree, for the next step."""
        self._relay()
        for fd in {*self._streams, *self._relayed}:      # whoever reads them is to see their end
            os.close(fd)
        assert self._stand_ins
        self._stand_ins.take_out(self._before)
        root = self._overlay
        fresh = not os.listdir(root.upper)
        upper_fd = os.open(root.upper, DIRECTORY)
        try:
            capture(self._root_fd, self._before, upper_fd, self._mark)
        finally:
            os.close(upper_fd)
        tree = self._let_go()
        if keep and fresh:
            self._pool.give(tree, (root.upper, *root.lower))
        else:
            self._pool.drop(tree)

    def _abandon(self) -> bool:
        confinement.sweep()
        self._clear()
        return True

    def _clear(self) -> None:
        """Put back what is not ours, and remove the rest. Idempotent."""
        if self._stand_ins:
            self._stand_ins.take_out({})
        if self._tree:
            self._pool.drop(self._let_go())

    def _let_go(self) -> str:
        if self._stand_ins:
            self._stand_ins.close()
        if self._root_fd >= 0:
            os.close(self._root_fd)
        tree, self._tree, self._root_fd, self._stand_ins = self._tree, "", -1, None
        return tree
