"""A fork of the zygote that does nothing but fork guardians of shims (sandbox.guardian), as children of the zygote.

Whatever the zygote wrote to between two of its forks would be memory of the earlier one alone. Between two forks of this process nearly nothing
is written to. It has one table of fds with the zygote, and dies with it.
"""

import errno
import os
import select

from kernel.errors import failed
from kernel.syscalls import CLONE_FILES, CLONE_PARENT, PR_SET_PDEATHSIG, clone, pidfd_open, prctl
from sandbox.guardian import guard, rehearse

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

    from sandbox.guardian import Life

_SIGKILL = 9
_PID_SIZE, _FD_SIZE = 4, 4


class Nursery:
    """live: of every mind; it gets the fd that `bear` was given, too."""

    __slots__ = ("_answers", "_orders", "_pidfd", "pid")

    def __init__(self, live: "Life") -> None:
        orders, self._orders = os.pipe2(os.O_CLOEXEC)
        self._answers, answers = os.pipe2(os.O_CLOEXEC)
        zygote = os.getpid()
        try:
            self.pid = clone(CLONE_FILES)
        except OSError:
            for fd in (orders, answers, self._orders, self._answers):
                os.close(fd)
            raise
        if not self.pid:
            _serve(live, zygote, orders, answers)
        self._pidfd = pidfd_open(self.pid)

    def is_gone(self) -> bool:
        """Whether somebody has killed it; what it held is given back then."""
        poll = select.poll()
        poll.register(self._pidfd, select.POLLIN)
        if not poll.poll(0):
            return False
        os.waitpid(self.pid, 0)
        for fd in (self._pidfd, self._orders, self._answers):
            os.close(fd)
        return True

    def bear(self, fd: int) -> int:
        """Pid of a new guardian, our child, that has our fds as they are now. Raises OSError."""
        os.write(self._orders, fd.to_bytes(_FD_SIZE, "little"))
        poll = select.poll()
        poll.register(self._answers, select.POLLIN)
        poll.register(self._pidfd, select.POLLIN)
        if self._answers not in [ready for ready, _ in poll.poll()]:
            raise OSError("the nursery of shims was killed")
        answer = int.from_bytes(os.read(self._answers, _PID_SIZE), "little", signed=True)
        if answer < 0:
            raise failed(-answer, "clone")
        return answer


def _serve(live: "Life", zygote: int, orders: int, answers: int) -> "NoReturn":
    try:
        prctl(PR_SET_PDEATHSIG, _SIGKILL)
        rehearsed = False
        while os.getppid() == zygote:
            order = os.read(orders, _FD_SIZE)
            try:
                pid = clone(CLONE_PARENT)
            except OSError as error:
                pid = -(error.errno or errno.EAGAIN)
            if not pid:
                os.setsid()
                guard(live, order)
                break
            os.write(answers, pid.to_bytes(_PID_SIZE, "little", signed=True))
            if not rehearsed:                             # only now: somebody waits for the first one
                rehearsed = _rehearsed()
    finally:
        os._exit(0)


def _rehearsed() -> bool:
    try:
        rehearse()
    except OSError:                                       # too many processes or files: another time
        return False
    return True
