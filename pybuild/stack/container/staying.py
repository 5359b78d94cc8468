"""Staying with a container until it ends, or the user lets go: what `run`, `start -a` and `attach` have in common."""

import os
import sys

from pybuild.stack.opening import warn_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pybuild.scanner import Options
    from runner.contact import Contact
    from runner.container import Container
    from runner.engine import Engine

TOOL_FAILED = 125
ALL = ("stdin", "stdout", "stderr")


def stay(engine: "Engine", container: "Container", contact: "Contact", *, ask: bool, streams: "tuple[str, ...]", detach_keys: str,
         proxy: bool = True) -> int:
    """Exit status of the container; 0 if the user has let go. ask: the shim does not know yet that somebody is attached."""
    from runner.attachment import Attachment, parse_keys
    from runner.stream import stream

    keys = parse_keys(detach_keys)
    with stream(contact, engine.place(container.id).log, ask=ask, stdin="stdin" in streams) as output:
        null = -1 if {"stdout", "stderr"} <= set(streams) else os.open("/dev/null", os.O_WRONLY | os.O_CLOEXEC)
        outcome = Attachment(
            output, stdin=0 if "stdin" in streams else -1, stdout=1 if "stdout" in streams else null, stderr=2 if "stderr" in streams else null,
            detach_keys=keys, proxy=proxy).run()
    if outcome.exit is None:
        print("read escape sequence", file=sys.stderr)
        return 0
    if outcome.exit.code < 0:
        print(f"error: {outcome.exit.error}", file=sys.stderr)
        return TOOL_FAILED
    if container.spec.auto_remove:
        _remove(engine, container)
    return outcome.exit.code


def _remove(engine: "Engine", container: "Container") -> None:
    from runner.errors import Missing

    try:
        engine.remove(container, force=True, volumes=True)
    except Missing:
        pass                                              # the shim had it done


def terminal_size() -> "tuple[int, int]":
    """(rows, columns) of ours, (0, 0) if there is none."""
    from runner.attachment import window_of

    return window_of(1) or window_of(0) or (0, 0)


def start_attached(engine: "Engine", container: "Container", options: "Options") -> int:
    streams = ("stdout", "stderr", *(("stdin",) if options.interactive else ()))
    size = terminal_size() if container.spec.tty else (0, 0)
    contact = engine.start(container, attached=True, reaper=container.spec.auto_remove, console_size=size)
    if contact is not None:
        warn_of(contact)
        return stay(engine, container, contact, ask=False, streams=streams, detach_keys=options.detach_keys)
    return stay(engine, container, engine.running(container), ask=True, streams=streams, detach_keys=options.detach_keys)
