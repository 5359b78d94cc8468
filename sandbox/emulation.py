"""Answers the system calls of a sandbox whose user namespace has one id only, as a kernel with many would: owners, devices, ids, new files.

One process per sandbox or step, of one thread; begun by who makes the sandbox (`begin`), told by the sandbox's first process when its filter is
there (`meet`, called by that). It stays out of the pid namespace, so nobody inside sees it. It does nothing that root of the sandbox could not
do: the ids it gives out are what programs believe, not what the kernel enforces.
"""

import fcntl
import os
import select
from errno import EIO, EMFILE, ENFILE, ENOMEM, EPERM

from kernel.errors import SyscallFailed
from kernel.notify import SECCOMP_FILTER_FLAG_NEW_LISTENER, SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV, Listener, Notification
from kernel.syscalls import CLONE_NEWNS, PR_SET_PDEATHSIG, clone3, close_range, prctl, seccomp, setns
from kernel.value import Value
from sandbox import emulation_rules, ids, privileges, wire
from sandbox.callers import Callers, Refused
from sandbox.emulated_files import ANSWERED, EmulatedFiles
from sandbox.emulated_ids import EmulatedIds
from sandbox.errors import SandboxError
from sandbox.owners import Owners, read_table, write_table
from sandbox.syscall_numbers import numbers

TYPE_CHECKING = False
if TYPE_CHECKING:
    import _socket
    from collections.abc import Callable
    from typing import NoReturn

    from sandbox.account import Account
    from sandbox.callers import Arguments

_SIGKILL = 9
_SHORTAGES = (EMFILE, ENFILE, ENOMEM)    # ours, not the caller's
_FAR = 100                            # fds from here on are out of the way


class Emulation:
    """One sandbox. `answer` handles one call; it never raises."""

    __slots__ = ("_callers", "_handlers", "_listener", "_log", "_told", "owners")

    def __init__(self, listener: Listener, *, nnp: bool, log: int = 2) -> None:
        """log: fd to which a fault of ours is written."""
        self._listener = listener
        self._log = log
        self._told = False
        self._callers = Callers(listener)
        self.owners = Owners()
        known = numbers(os.uname().machine)
        self._handlers: "dict[int, Callable[[int, Arguments], int | None]]" = {
            known[name[3:]]: getattr(part, name)
            for part in (EmulatedIds(self._callers), EmulatedFiles(self._callers, self.owners, nnp=nnp))
            for name in dir(part) if name.startswith("do_") and name[3:] in known}

    def begin(self, pid: int, who: ids.Credentials) -> None:
        """The first process is `who`."""
        if who != ids.ROOT:
            self._callers.become(pid, who)

    def answer(self, call: Notification) -> None:
        self._callers.current = call.id
        try:
            value = self._handlers[call.number](call.pid, call.arguments)
        except Refused as error:
            self._listener.answer(call.id, error=error.errno or EPERM)
        except OSError as error:
            if error.errno in _SHORTAGES:
                self._give_up(call, error)
            else:
                self._listener.go_on(call.id)             # of the caller's making: the kernel meets it too, and has the right word for it
        except Exception as error:
            self._give_up(call, error)
        else:
            if value is None:
                self._listener.go_on(call.id)
            elif value != ANSWERED:
                self._listener.answer(call.id, value)
        self._callers.let_go()

    def _give_up(self, call: Notification, error: Exception) -> None:
        """A fault of ours: the call is refused, for nobody has thought of what the kernel would do. Written down once: it can be made for ever."""
        self._listener.answer(call.id, error=EIO)
        if self._told:
            return
        self._told = True
        text = f"pybuild: emulation of call {call.number} failed, and it was refused: {type(error).__name__}: {error}\n"
        try:
            os.write(self._log, text.encode(errors="backslashreplace"))
        except OSError:
            return                                        # a full disk: the caller has its answer


# ---------------------------------------------------------------- who makes the sandbox
class Supervisor(Value):
    """The process: its pid and pidfd, and the socket whose closing ends it."""

    pid: int
    pidfd: int
    leash: "_socket.socket"

    def finish(self) -> bool:
        """When the processes of the sandbox are gone: have it write down whose their files are, and end. False if it did not live so long."""
        self.leash.close()
        _, status = os.waitpid(self.pid, 0)
        os.close(self.pidfd)
        return status == 0


def begin(unit_pid: int, unit_pidfd: int, table: int) -> "tuple[Supervisor, _socket.socket]":
    """(a supervisor for the unit, the unit's end of a socket to it). table: fd of a file with the owners of links, as in sandbox.owners, which
    has those of the upper directory in the end; -1 for none. The caller has a single thread."""
    ours, leash = wire.pair()
    theirs, meeting = wire.pair()
    pid, pidfd = clone3(0)
    if not pid:
        try:
            os.setsid()
            prctl(PR_SET_PDEATHSIG, _SIGKILL)
            fds = _keep_only(meeting.fileno(), ours.fileno(), unit_pidfd, *([table] if table >= 0 else []))
            _supervise(unit_pid, wire.socket_of(fds[0]), fds[1], fds[2], fds[3] if table >= 0 else -1)
        finally:
            os._exit(1)
    for sock in (ours, meeting):
        sock.close()
    return Supervisor(pid, pidfd, leash), theirs


def _keep_only(*fds: int) -> list[int]:
    """Close everything but the standard streams and copies of these, which follow on each other."""
    copies = [fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, _FAR) for fd in fds]
    kept = []
    for number, copy in enumerate(copies, 3):
        os.dup2(copy, number, inheritable=False)
        kept.append(number)
    close_range(kept[-1] + 1)
    return kept


def _supervise(pid: int, meeting: "_socket.socket", leash: int, pidfd: int, table: int) -> "NoReturn":
    privileges.default_signals()
    message, fds = wire.receive(meeting)
    if message is None:
        os._exit(0)                                       # the unit had no use for us, and has said why
    uid, gid, groups, nnp = message
    listener = Listener(fds[0])
    os.umask(0)
    proc = os.open("/proc", os.O_PATH | os.O_DIRECTORY)
    setns(pidfd, CLONE_NEWNS)
    os.fchdir(proc)
    emulation = Emulation(listener, nnp=nnp)
    if table >= 0:
        emulation.owners.learn(read_table(table))
    emulation.begin(pid, ids.of_user(uid, gid, tuple(groups)))
    meeting.send(b".")
    meeting.close()
    _serve(emulation, listener, leash)
    if table >= 0:
        write_table(table, emulation.owners.tell(fds[1]) if len(fds) > 1 else {})
    os._exit(0)


def _serve(emulation: Emulation, listener: Listener, leash: int) -> None:
    """Until the leash is let go."""
    poll = select.poll()
    poll.register(listener.fd, select.POLLIN)
    poll.register(leash, select.POLLIN)
    while True:
        events = dict(poll.poll())
        if events.get(listener.fd, 0) & select.POLLIN:
            call = listener.receive()
            if call:
                emulation.answer(call)
        elif leash in events:
            return
        elif events.get(listener.fd, 0) & select.POLLHUP:
            poll.unregister(listener.fd)                  # nobody is left; whoever made us will say when to end


# ---------------------------------------------------------------- the sandbox's first process
def meet(supervision: int, who: "Account", upper_fd: int, *, nnp: bool) -> None:
    """Have the calls of this process answered from here on. supervision: fd of the socket that `begin` gave."""
    sock = wire.socket_of(supervision)
    program = emulation_rules.program()
    try:
        listener = seccomp(program, SECCOMP_FILTER_FLAG_NEW_LISTENER | SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV)
    except SyscallFailed:                                 # before Linux 5.19: signals restart calls
        listener = seccomp(program, SECCOMP_FILTER_FLAG_NEW_LISTENER)
    wire.send(sock, (who.uid, who.gid, who.groups, nnp), (listener, *([upper_fd] if upper_fd >= 0 else [])))
    answer = sock.recv(1)
    os.close(listener)
    sock.close()
    if not answer:
        raise SandboxError("emulate owners and ids", reason="the process that was to do it is gone")
