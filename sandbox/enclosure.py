"""The keeper of a container where no namespace can be made, and below it the warden of its processes.

The keeper makes the tree (a copy of the layers, at the first start), puts in what would be mounts, and takes that out again when the last process is
gone; it ends when whoever asked is gone, with all that is below it. The warden has given up the machine's files as the container has (a
process may only signal who is in its own domain of Landlock, so all are to have the same), starts the command and whatever is executed later.
"""

import _signal  # type: ignore[import-not-found]
import os
import select

from kernel.paths import DIRECTORY, remove_tree
from kernel.syscalls import PR_SET_CHILD_SUBREAPER, PR_SET_DUMPABLE, PR_SET_NO_NEW_PRIVS, PR_SET_PDEATHSIG, prctl, seccomp
from sandbox import confinement, marks, warding, wire
from sandbox.confinement import above
from sandbox.departure import CONTROL
from sandbox.errors import SandboxError
from sandbox.guardian import close_all_but
from sandbox.inside import tell_failure
from sandbox.limits import adjust_oom_score
from sandbox.mounts import by_depth
from sandbox.plaincopy import apply
from sandbox.spec import Overlay, SandboxSpec
from sandbox.standin import STREAMS, StandIns

TYPE_CHECKING = False
if TYPE_CHECKING:
    import _socket
    from typing import NoReturn

    from sandbox.machine import Machine
    from sandbox.spec import ExecSpec

JOURNAL = "stand-ins"                                     # in the tree's directory, beside `root` and `aside`
_CHUNK = 1 << 16
_MOMENT_MS = 5000
_SIGKILL, _SIGCHLD = 9, 17


def live(spec: SandboxSpec, mark: int, streams: list[int], machine: "Machine", sockets: "tuple[_socket.socket, ...]",
         kept: list[int]) -> "NoReturn":
    """The whole life of a keeper, in a new child. sockets: control; verdict, where it says how the command ended when nothing is left of the
    container; channel, for further commands. kept: fds that stay open."""
    stand_ins = None
    try:
        os.setsid()
        _signal.set_wakeup_fd(-1)
        for number in (2, 15, _SIGCHLD):
            _signal.signal(number, _signal.SIG_DFL)
        control, verdict, channel = (wire.socket_of(above(one.fileno())) for one in sockets)
        streams, kept = [above(fd) for fd in streams], [above(fd) for fd in kept]
        os.dup2(control.fileno(), CONTROL, inheritable=False)
        close_all_but((CONTROL, verdict.fileno(), channel.fileno(), *streams, *kept))
        prctl(PR_SET_CHILD_SUBREAPER, 1)
        root_fd = _tree(spec)
        stand_ins = StandIns(root_fd, f"{spec.tree}/aside", f"{spec.tree}/{JOURNAL}")
        said = _run(spec, root_fd, stand_ins, streams, machine, verdict, channel)
        _clear(mark, stand_ins)
        stand_ins = None
        if said:
            wire.send_bytes(verdict, said)
    except BaseException as error:
        if stand_ins:
            _clear(mark, stand_ins)
        tell_failure(error, "start the container")
    finally:
        os._exit(0)


def _tree(spec: SandboxSpec) -> int:
    """fd of its root; made if this is the first start."""
    overlay, path = spec.rootfs, spec.tree
    assert isinstance(overlay, Overlay), "a container has layers"
    if not os.path.exists(path):
        for name in ("", "/root", "/aside"):
            os.mkdir(f"{path}.new{name}", 0o755 if name else 0o700)
        fd = os.open(f"{path}.new/root", DIRECTORY)
        for layer in (*reversed(overlay.lower), overlay.upper):
            apply(layer, fd, swap_devices=True)
        os.close(fd)
        os.rename(f"{path}.new", path)
    fd = os.open(f"{path}/aside", DIRECTORY)
    for name in os.listdir(fd):                           # of one that was killed
        remove_tree(fd, name)
    os.close(fd)
    return os.open(f"{path}/root", DIRECTORY)


def _run(spec: SandboxSpec, root_fd: int, stand_ins: StandIns, streams: list[int], machine: "Machine", verdict: "_socket.socket",
         channel: "_socket.socket") -> bytes:
    """What the warden has to say of the command's end; b"" if it never began, or the warden was killed."""
    stand_ins.borrow(spec.mounts, wait=False)
    stand_ins.system()
    for operation in by_depth(spec.mounts):
        stand_ins.mount(operation)
    _hand_over_streams(root_fd)
    said, says = wire.pair()
    pid = os.fork()
    if not pid:
        try:
            said.close()
            verdict.close()
            _Warden(spec, root_fd, streams, machine, says, channel).run()
        except BaseException as error:
            tell_failure(error, "start the container")
        finally:
            os._exit(1)
    says.close()
    os.close(CONTROL)
    channel.close()
    for fd in set(streams):                               # whoever reads them is to see their end
        os.close(fd)
    data, fds = wire.receive_bytes(said)
    if data and fds:                                      # the command runs
        data = _end_of(fds[0], said)
    os.kill(pid, _SIGKILL)                                # it may have been stopped by whom it guards
    os.waitpid(pid, 0)
    return data


def _hand_over_streams(root_fd: int) -> None:
    """/dev/stdout and /dev/stderr cannot be links to the streams here: whoever reads those reads these too."""
    fds = [os.open(f"dev/{stream}", os.O_RDWR | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=root_fd) for stream in STREAMS]
    control = wire.socket_of(os.dup(CONTROL))
    wire.send(control, ("streams",), fds)
    control.close()
    for fd in fds:
        os.close(fd)


def _end_of(pidfd: int, said: "_socket.socket") -> bytes:
    """What the warden says of the end of its first process; it has a moment for that."""
    poll = select.poll()
    for fd in (pidfd, said.fileno()):
        poll.register(fd, select.POLLIN)
    ready = poll.poll()
    if (said.fileno(), select.POLLIN) not in ready:
        poll.unregister(pidfd)
        if not poll.poll(_MOMENT_MS):
            return b""
    return wire.receive_bytes(said)[0]


def _clear(mark: int, stand_ins: StandIns) -> None:
    marks.stop(mark)
    stand_ins.take_out({})
    stand_ins.close()
    try:
        while True:
            os.waitpid(-1, 0)                             # they are dead: who has lost its parent is ours
    except ChildProcessError:
        pass


class _Warden:
    """says: where the end of the first process is told, in the words that go to who asked; channel: where further commands come from."""

    def __init__(self, spec: SandboxSpec, root_fd: int, streams: list[int], machine: "Machine", says: "_socket.socket",
                 channel: "_socket.socket") -> None:
        self._spec, self._root_fd, self._streams, self._machine, self._says, self._channel = spec, root_fd, streams, machine, says, channel
        self._verdicts: dict[int, _socket.socket] = {}    # pid -> who is to be told of its end
        self._first = 0
        self._sentry: _socket.socket | None = None

    def run(self) -> None:
        prctl(PR_SET_PDEATHSIG, _SIGKILL)
        prctl(PR_SET_DUMPABLE, 0)
        prctl(PR_SET_CHILD_SUBREAPER, 1)
        bell, rope = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        _signal.signal(_SIGCHLD, lambda number, frame: None)
        _signal.set_wakeup_fd(rope, warn_on_full_buffer=False)
        if self._spec.oom_score_adj:                      # while /proc is in reach
            adjust_oom_score(self._spec.oom_score_adj)
        self._sentry = confinement.sentry_for(self._spec)
        confinement.confine(self._spec, self._root_fd)
        prctl(PR_SET_NO_NEW_PRIVS, 1)
        seccomp(warding.program(os.getpid(), os.getpgid(0)))
        self._first = self._start(self._spec, self._streams, wire.socket_of(os.dup(CONTROL)), self._says)
        os.close(CONTROL)
        if self._first:
            self._attend(bell)

    def _start(self, spec: "SandboxSpec | ExecSpec", streams: list[int], control: "_socket.socket", verdict: "_socket.socket") -> int:
        """Its pid; 0 if there is none, which has been said."""
        try:
            pid, words = confinement.start(spec._replace(oom_score_adj=0), self._root_fd, streams, self._machine, confined=True,
                                           watched=self._sentry)
            message, _ = wire.receive(words)
            words.close()
            if message is None:
                pidfd = os.pidfd_open(pid)
                wire.send(control, ("running", pid), (pidfd,))
                if not self._first:
                    wire.send(verdict, ("running",), (pidfd,))
                os.close(pidfd)
                self._verdicts[pid] = verdict
                return pid
            os.waitpid(pid, 0)
            wire.send(control, message)
        except SandboxError as error:
            wire.send(control, ("failed", type(error).__name__, error.step, error.number, error.path, error.reason, error.help))
        except OSError as error:
            self._fail(control, error)
        finally:
            control.close()
        return 0

    @staticmethod
    def _fail(control: "_socket.socket", error: OSError) -> None:
        try:
            wire.send(control, ("failed", "SandboxError", "start the command", error.errno or 0, "", "", ""))
        except OSError:
            pass                                          # nobody is there to hear it

    def _attend(self, bell: int) -> None:
        """Until the first process has ended, or nobody wants it any more."""
        poll = select.poll()
        for fd in (bell, self._channel.fileno()):
            poll.register(fd, select.POLLIN)
        while self._first in self._verdicts:
            ready = {fd for fd, _ in poll.poll()}
            if bell in ready:
                os.read(bell, _CHUNK)
                self._reap()
            if self._channel.fileno() in ready and not self._visit():
                self._reap()
                return

    def _visit(self) -> bool:
        """Start what is asked for; False if nobody asks any more."""
        message, fds = wire.receive(self._channel)
        if message is None:
            return False
        control, verdict = wire.socket_of(fds[3]), wire.socket_of(fds[4])
        try:
            if not self._start(wire.unpack_exec(message[0]), fds[:3], control, verdict):
                verdict.close()
        finally:
            for fd in fds[:3]:
                os.close(fd)
        return True

    def _reap(self) -> None:
        while True:
            try:
                pid, status, usage = os.wait4(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if not pid:
                return
            verdict = self._verdicts.pop(pid, None)
            if verdict is None:
                continue                                  # an orphan
            try:
                wire.send(verdict, ("exit", status, usage.ru_utime, usage.ru_stime, usage.ru_maxrss))
            except OSError:
                pass                                      # nobody waits for it
            verdict.close()
