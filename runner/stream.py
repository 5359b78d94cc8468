"""A container's output as it comes: its log, read from a point on, and its shim, which says when there is more and when it is over."""

import os

from kernel.value import Value
from runner.contact import Contact
from runner.errors import ShimLost
from runner.logreader import LogReader

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from runner.logreader import Record


class Exit(Value):
    """restarting: its restart policy will start it again."""

    code: int
    error: str
    oom: bool
    restarting: bool


class Stream:
    """Wait until `fileno` is readable, then call `hear`, then read `records` to their end. Closing it leaves the container alone.

    console: fd to write the container's stdin to, -1 if there is none; tty: it has a terminal, so there is one stream only.
    """

    __slots__ = ("_contact", "_ended", "_reader", "console", "tty")

    def __init__(self, contact: Contact, directory: str, start: "tuple[int, int]", tty: bool, console: int) -> None:
        self._contact = contact
        self._reader = LogReader(directory, *start)
        self._ended = False
        self.tty = tty
        self.console = console

    def fileno(self) -> int:
        return self._contact.fileno()

    def hear(self) -> "Exit | None":
        """What the shim says: None if only that there is something to read. An Exit whose code is -1: the shim is gone without a word."""
        message, _ = self._contact.hear()
        if message is None:
            self._ended = True
            return Exit(-1, "its shim is gone", False, False)
        if message[0] == "exit":
            self._ended = not message[4]
            return Exit(*message[1:])
        return None

    def records(self) -> "Iterator[Record]":
        """What there is now; the shim will tell of what comes later."""
        yield from self._reader.read()
        if not self._ended:
            try:
                self._contact.tell("more", self._reader.generation, self._reader.offset)
            except ShimLost:
                pass                                      # what it said last is still to be heard

    @property
    def spot(self) -> "tuple[int, int]":
        """(generation, offset) up to which the log has been read."""
        return self._reader.generation, self._reader.offset

    def signal(self, number: int) -> None:
        """Its answer is swallowed by `hear`."""
        self._contact.tell("kill", number)

    def resize(self, rows: int, columns: int) -> None:
        self._contact.tell("resize", rows, columns)

    def close_console(self) -> None:
        """No more input. For a container that reads one stdin only, that is the end of it."""
        if self.console >= 0:
            os.close(self.console)
            self.console = -1

    def close(self) -> None:
        self.close_console()
        self._reader.close()
        self._contact.close()

    def __enter__(self) -> "Stream":
        return self

    def __exit__(self, *what: object) -> None:
        self.close()


def stream(contact: Contact, directory: str, *, ask: bool, stdin: bool, from_start: bool = False) -> Stream:
    """The output from now on (with from_start: from the log's beginning). ask: not yet attached; `start(attached=True)` is. directory: of the log.

    Raises ShimLost, SandboxError.
    """
    if ask:
        contact.tell("attach", stdin)
    message, fds = contact.hear()
    if message is None or message[0] != "attached":
        raise ShimLost(contact.name, "it ends just now")
    _, generation, offset, tty = message
    return Stream(contact, directory, (0, 0) if from_start else (generation, offset), tty, fds[0] if fds else -1)
