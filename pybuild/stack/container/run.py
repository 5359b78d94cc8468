"""`pyup container run`: make a container, start it, and stay attached to it until it ends."""

import os
import sys

from pybuild.option import FLAG, LIST, VALUE, Option, Usage
from pybuild.scanner import Misuse, Options
from pybuild.stack.container.wish import OPERANDS, OPTIONS, spec_of, write_cidfile
from pybuild.stack.opening import opened

TYPE_CHECKING = False
if TYPE_CHECKING:
    from runner.attachment import Outcome
    from runner.contact import Contact
    from runner.container import Container
    from runner.engine import Engine

USAGE = Usage(
    "Run a command in a new container.", "pyup container run --rm -it busybox sh\npyup container run -d --name web -p 8080:80 web",
    OPERANDS,
    (Option("-d --detach", FLAG, "print its ID and leave it running"),
     Option("-a --attach", LIST, "attach only these: stdin, stdout, stderr", "STREAM"),
     Option("--sig-proxy", FLAG, "pass signals on to it", default="true"),
     Option("--detach-keys", VALUE, "keys that let go of it", "KEYS", "ctrl-p,ctrl-q"),
     *OPTIONS),
    stop_early=True)

_TOOL_FAILED = 125


def main(options: Options) -> int:
    streams = _streams(options)
    spec = spec_of(options)._replace(
        stdin_once=options.interactive and not options.detach, attach_stdin="stdin" in streams, attach_stdout="stdout" in streams,
        attach_stderr="stderr" in streams)
    with opened(options, owner=True) as engine:
        try:
            container = engine.create(spec)
            write_cidfile(options.cidfile, container.id)
        except Exception as error:
            return _failed(error, options)
        size = _terminal_size() if options.tty else (0, 0)
        try:
            contact = engine.start(container, attached=not options.detach, reaper=options.rm and not options.detach, console_size=size)
        except Exception as error:
            if options.rm:
                engine.remove(container, volumes=True)
            return _failed(error, options)
        assert contact, "nobody else knows it yet"
        if options.detach:
            contact.close()
            print(container.id)
            return 0
        return _stay(engine, container, contact, options, streams)


def _failed(error: Exception, options: Options) -> int:
    """What went wrong, on stderr; docker's exit status for it: 125, or 126 and 127 if only the command is at fault."""
    from pybuild.output.errors import report

    status = report(error, debug=options.debug)
    return int(getattr(error, "exit_status", 0)) or (status if status == 2 else _TOOL_FAILED)


def _streams(options: Options) -> tuple[str, ...]:
    given = tuple(word.lower() for word in options.attach)
    unknown = next((word for word in given if word not in ("stdin", "stdout", "stderr")), "")
    if unknown:
        raise Misuse(f"`--attach {unknown}` is none of stdin, stdout, stderr")
    if options.detach:
        if given:
            raise Misuse("`--attach` and `--detach` contradict each other")
        return ()
    return given or ("stdout", "stderr", *(("stdin",) if options.interactive else ()))


def _terminal_size() -> tuple[int, int]:
    from runner.attachment import window_of

    return window_of(1) or window_of(0) or (0, 0)


def _stay(engine: "Engine", container: "Container", contact: "Contact", options: Options, streams: tuple[str, ...]) -> int:
    from runner.attachment import Attachment, parse_keys
    from runner.stream import stream

    if options.tty and "stdin" in streams and not os.isatty(0):
        print("warning: stdin is no terminal", file=sys.stderr)
    with stream(contact, engine.place(container.id).log, ask=False, stdin="stdin" in streams) as output:
        null = os.open("/dev/null", os.O_WRONLY | os.O_CLOEXEC) if len({"stdout", "stderr"} & set(streams)) < 2 else -1
        attachment = Attachment(
            output, stdin=0 if "stdin" in streams else -1, stdout=1 if "stdout" in streams else null, stderr=2 if "stderr" in streams else null,
            detach_keys=parse_keys(options.detach_keys), proxy=options.sig_proxy)
        outcome = attachment.run()
    return _end(engine, container, outcome)


def _end(engine: "Engine", container: "Container", outcome: "Outcome") -> int:
    if outcome.exit is None:
        print("read escape sequence", file=sys.stderr)
        return 0
    if outcome.exit.code < 0:
        print(f"error: {outcome.exit.error}", file=sys.stderr)
        return _TOOL_FAILED
    if container.spec.auto_remove:
        from runner.errors import Missing

        try:
            engine.remove(container, force=True, volumes=True)
        except Missing:
            pass
    return outcome.exit.code
