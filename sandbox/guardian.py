"""What a shim is while nothing happens: a process that is its container's parent, and writes to next to nothing of the memory that it shares.

A shim is two processes. The guardian is a fork of the zygote that stays as it was born, so that its memory is the zygote's. Whatever is to be done
is done by a mind, a fork of the guardian, which makes the container as a child of the guardian. When nothing has happened for a while a mind ends: it
leaves fds, which the guardian watches, and a file in memory, from which the next mind knows all that it has to know. If the guardian dies, its mind
and its container die with it; if a mind dies, so does the guardian.

The two have one table of fds, so a fd is called the same in both. What a guardian does is as little as it is, and without a look at most of
Python, because every object that it uses makes a page its own: lines of text come on a pipe, on which its signals ring too.
"""

import _signal  # type: ignore[import-not-found]
import os
import select
import time
from resource import struct_rusage

from kernel.syscalls import CLONE_FILES, CLONE_PARENT, PR_SET_PDEATHSIG, clone, close_range, prctl

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from typing import NoReturn

    # what a mind does: given its guardian (None: it has to do without), `order` of `guard`, and the fd of what the mind before it has left behind,
    # -1 if it is the first
    Life = Callable[["Guardian | None", bytes, int], None]

_SIGKILL, _SIGTERM, _SIGCHLD = 9, 15, 17
_SIGNALS = bytes((_SIGTERM, _SIGCHLD))                    # as they come on the pipe
_LINES = 1 << 8                                           # bytes, few enough not to be asked of malloc
_PAUSE_S = 0.1                                            # before it is tried again to fork when there are too many processes


class Guardian:
    """As its mind sees it."""

    __slots__ = ("_pipe",)

    def __init__(self, pipe: "tuple[int, int]") -> None:
        self._pipe = pipe

    def alert(self, name: str) -> None:
        """We both shall be called `name`; and it hands on a SIGTERM from now on, also one that came before."""
        _call_oneself(name.encode())
        self._tell(f"alert {name}")

    def reap(self, pid: int) -> "tuple[int, struct_rusage]":
        """(status, what of time and memory it has used) of a child of the guardian, when it has ended."""
        read, write = os.pipe2(os.O_CLOEXEC)
        self._tell(f"reap {pid} {write}")
        status, user_s, system_s, peak = os.read(read, _LINES).split()
        os.close(read)
        os.close(write)
        return int(status), struct_rusage((float(user_s), float(system_s), int(peak), *(0,) * 13))

    def rest(self, memory: bytes, watched: "Sequence[int]", others: "Sequence[int]", due: float) -> "NoReturn":
        """End, until one of `watched` is readable, or it is `due` (by the monotonic clock; 0: never), or a SIGTERM comes. The next mind has
        these fds, the `others` and no more, and finds `memory` in a file."""
        file = os.memfd_create("memory", os.MFD_CLOEXEC)
        with open(file, "wb", closefd=False) as left:
            left.write(memory)
        close_all_but((*self._pipe, file, *watched, *others))
        self._tell(f"rest {due} {file} {' '.join(map(str, watched))}")
        os._exit(0)

    def _tell(self, line: str) -> None:
        os.write(self._pipe[1], f"{line}\n".encode())

    def fds(self) -> "tuple[int, int]":
        """Not to be closed."""
        return self._pipe


def close_all_but(fds: "Iterable[int]") -> None:
    """But these and the standard streams."""
    kept = sorted({0, 1, 2, *fds})
    for low, high in zip(kept, [*kept[1:], 1 << 31]):
        if high > low + 1:
            close_range(low + 1, high - 1)


def guard(live: "Life", order: bytes) -> None:
    """Be a guardian, until a mind ends without having gone to rest. The caller has just been forked, and ends then. If no first mind can be forked,
    because there are too many processes, its life is lived here: it will say so to whoever has asked for a container."""
    pipe = bell, _ = _hang_the_bell()
    memory, leaving = -1, False
    while True:
        guardian = os.getpid()
        try:
            mind = clone(CLONE_FILES)
        except OSError:
            if memory >= 0:
                time.sleep(_PAUSE_S)
                continue
            _as_usual()
            live(None, order, memory)
            return
        if not mind:
            _be_mind(live, order, guardian, pipe, memory)
        rest, leaving = _serve(mind, bell, leaving)
        if not rest:
            return
        due, file, *watched = rest
        memory = int(file)
        if not leaving:                                   # else it came when that mind had closed its eyes already
            leaving = _wait([int(fd) for fd in watched], float(due), bell)


def rehearse() -> None:
    """Be a guardian for a moment. What Python learns by that (where a type has its methods, what an instruction meets) it writes down, into pages
    that are then shared by all guardians that the caller forks later. Raises OSError."""
    guardian, (silent, end) = os.getpid(), os.pipe2(os.O_CLOEXEC)
    bell, rope = pipe = _hang_the_bell()
    os.close(end)
    try:
        mind = clone(CLONE_FILES)
        if not mind:
            _be_mind(_rehearse_mind, b"", guardian, pipe, silent)
        rest, _ = _serve(mind, bell, False)
        if rest:                                            # else it was killed
            due, _, *watched = rest
            _wait([int(fd) for fd in watched], float(due), bell)
    finally:
        _as_usual()
        for fd in (silent, bell, rope):
            os.close(fd)


def _rehearse_mind(guardian: "Guardian | None", order: bytes, silent: int) -> None:
    assert guardian
    with open("/proc/self/comm") as comm:
        guardian.alert(comm.read().rstrip())
    child = clone(CLONE_PARENT)
    if not child:
        os._exit(0)
    guardian.reap(child)
    guardian._tell(f"rest {time.monotonic()} {silent} {silent}")


def _hang_the_bell() -> "tuple[int, int]":
    """(bell, rope): lines come on it, and our signals ring there, too."""
    bell, rope = os.pipe2(os.O_CLOEXEC)
    os.set_blocking(rope, False)
    _signal.signal(_SIGTERM, _ring)
    _signal.signal(_SIGCHLD, _ring)
    _signal.set_wakeup_fd(rope, warn_on_full_buffer=False)
    return bell, rope


def _ring(number: int, frame: object) -> None:
    """That there is a handler makes the signal ring on the pipe."""


def _as_usual() -> None:
    _signal.set_wakeup_fd(-1)
    _signal.signal(_SIGTERM, _signal.SIG_DFL)
    _signal.signal(_SIGCHLD, _signal.SIG_DFL)


def _be_mind(live: "Life", order: bytes, guardian: int, pipe: "tuple[int, int]", memory: int) -> "NoReturn":
    try:
        prctl(PR_SET_PDEATHSIG, _SIGKILL)
        if os.getppid() == guardian:                        # else it is dead already
            _as_usual()
            live(Guardian(pipe), order, memory)
    finally:
        os._exit(0)


def _serve(mind: int, bell: int, leaving: bool) -> "tuple[list[bytes], bool]":
    """Do what a mind asks for until it has ended. (what it left, if it went to rest; whether a SIGTERM has come by now)."""
    alert = gone = False
    rest: list[bytes] = []
    begun = b""
    while not gone or (not rest and _is_ringing(bell)):
        data = os.read(bell, _LINES)
        if _SIGTERM in data:
            leaving = True
            if alert:
                os.kill(mind, _SIGTERM)
        *lines, begun = (begun + data.translate(None, _SIGNALS)).split(b"\n")
        for line in lines:
            word, *facts = line.split(b" ")
            if word == b"rest":
                rest = facts
            elif word == b"reap":
                _, status, usage = os.wait4(int(facts[0]), 0)
                os.write(int(facts[1]), f"{status} {usage.ru_utime} {usage.ru_stime} {usage.ru_maxrss}".encode())
            else:
                alert = True
                _call_oneself(facts[0])
                if leaving:
                    os.kill(mind, _SIGTERM)
        if _SIGCHLD in data and not gone:
            gone = os.waitpid(mind, os.WNOHANG)[0] == mind
    return rest, leaving


def _call_oneself(name: bytes) -> None:
    comm = os.open("/proc/self/comm", os.O_WRONLY | os.O_CLOEXEC)
    os.write(comm, name)
    os.close(comm)


def _is_ringing(bell: int) -> bool:
    poll = select.poll()
    poll.register(bell, select.POLLIN)
    return bool(poll.poll(0))


def _wait(watched: list[int], due: float, bell: int) -> bool:
    """Until there is something to do; whether that is a SIGTERM."""
    poll = select.poll()
    for fd in (*watched, bell):
        poll.register(fd, select.POLLIN)
    while True:
        ready = [fd for fd, _ in poll.poll(max(0.0, due - time.monotonic()) * 1000 if due else None)]
        if ready != [bell]:
            return False
        if _SIGTERM in os.read(bell, _LINES):
            return True
