"""What a container has written, as a user wants to see it: from where on, how much of it, and whether to wait for more."""

import select
import time

from kernel.value import Value
from runner.contact import reach
from runner.errors import ShimLost
from runner.logreader import Line, Lines, LogReader, tail

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from runner.contact import Contact
    from runner.container import Container
    from runner.engine import Engine


class Wanted(Value):
    """tail: so many lines from the end, -1: all. since, until: nanoseconds since the epoch, 0: no bound. follow: until the container ends."""

    tail: int = -1
    since: int = 0
    until: int = 0
    follow: bool = False


def logs(engine: "Engine", container: "Container", wanted: Wanted, *, whole_lines: bool = False) -> "Iterator[Line]":
    """Lines in the order in which they were completed; or, if nothing needs lines, the output just as it came, in pieces."""
    place = engine.place(container.id)
    contact = reach(place, container.name) if wanted.follow else None
    try:
        if contact is not None and not _attach(contact):
            contact.close()
            contact = None
        yield from _Log(place.log, wanted, whole_lines).lines(contact)
    finally:
        if contact is not None:
            contact.close()


def _attach(contact: "Contact") -> bool:
    try:
        return bool(contact.ask("attach", False)[0] == "attached")
    except ShimLost:
        return False                                      # it has ended in this moment


class _Log:
    def __init__(self, directory: str, wanted: Wanted, whole_lines: bool) -> None:
        self._wanted = wanted
        self._cut = whole_lines or wanted.tail >= 0 or bool(wanted.since or wanted.until)
        self._first: list[Line] = []
        if wanted.tail >= 0:
            self._first, self._reader, self._cutter = tail(directory, wanted.tail)
        else:
            self._reader, self._cutter = LogReader(directory), Lines()

    def lines(self, contact: "Contact | None") -> "Iterator[Line]":
        try:
            yield from self._bounded(self._first)
            yield from self._new()
            while contact is not None and not self._is_over():
                if not self._await(contact):
                    contact = None
                yield from self._new()
            if self._wanted.tail != 0 or self._wanted.follow:
                yield from self._bounded(list(self._cutter.rest()))
        finally:
            self._reader.close()

    def _new(self) -> "Iterator[Line]":
        for record in self._reader.read():
            if self._cut:
                yield from self._bounded(list(self._cutter.cut(record)))
            else:
                yield Line(*record)

    def _bounded(self, lines: "list[Line]") -> "Iterator[Line]":
        for line in lines:
            if line.time >= self._wanted.since and not (self._wanted.until and line.time > self._wanted.until):
                yield line

    def _is_over(self) -> bool:
        return bool(self._wanted.until) and time.time_ns() > self._wanted.until

    def _await(self, contact: "Contact") -> bool:
        """Wait for more; False if there will be none."""
        try:
            contact.tell("more", self._reader.generation, self._reader.offset)
        except ShimLost:
            pass                                          # what it said last is still to be heard
        if self._wanted.until:
            poll = select.poll()
            poll.register(contact, select.POLLIN)
            if not poll.poll(max(0, self._wanted.until - time.time_ns()) / 1e6):
                return False
        message, _ = contact.hear()
        return message is not None and (message[0] != "exit" or bool(message[4]))
