"""A shim for tests: starts the spec it is given, says its pid, runs what is asked for in it, and says how it ended. Outlives whoever asked."""

import _socket
from typing import Any

from sandbox import wire
from sandbox.process import Maker, Unit


def main(maker: Maker, connection: _socket.socket, request: tuple[Any, ...], fds: list[int]) -> None:
    _, packed, path = request
    unit, warning = maker.start(packed, fds)
    first = _outcome(unit)
    wire.send(connection, ("running", unit.pid, first, warning))
    if first:
        unit.bury()
        return
    message, more = wire.receive(connection)
    if message and message[0] == "exec":
        visitor = maker.visit(message[1], [*more, unit.pidfd])
        said = _outcome(visitor)
        wire.send(connection, ("visited", said, visitor.bury().status))
    ended = unit.bury()
    with open(path, "w") as file:
        file.write(f"{ended.status} {ended.signal}")


def _outcome(unit: Unit) -> str:
    """Class of the error, "" once the command runs."""
    failure = ""
    while (word := unit.hear()[0]) is not None:
        if word[0] == "failed":
            failure = word[1]
    return failure
