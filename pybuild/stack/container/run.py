"""`pyup container run`: make a container, start it, and stay attached to it until it ends."""

import os
import sys

from pybuild.option import FLAG, LIST, VALUE, Option, Usage
from pybuild.scanner import Misuse, Options
from pybuild.stack.container.fetching import image_for
from pybuild.stack.container.staying import ALL, TOOL_FAILED, stay, terminal_size
from pybuild.stack.container.wish import OPERANDS, OPTIONS, spec_of, write_cidfile
from pybuild.stack.opening import opened, warn_of

USAGE = Usage(
    "Run a command in a new container.", "pyup container run --rm -it busybox sh\npyup container run -d --name web -p 8080:80 web",
    OPERANDS,
    (Option("-d --detach", FLAG, "print its ID and leave it running"),
     Option("-a --attach", LIST, "attach only these: stdin, stdout, stderr", "STREAM"),
     Option("--sig-proxy", FLAG, "pass signals on to it", default="true"),
     Option("--detach-keys", VALUE, "keys that let go of it", "KEYS", "ctrl-p,ctrl-q"),
     *OPTIONS),
    stop_early=True)


def main(options: Options) -> int:
    streams = _streams(options)
    spec = spec_of(options)._replace(
        stdin_once=options.interactive and not options.detach, attach_stdin="stdin" in streams, attach_stdout="stdout" in streams,
        attach_stderr="stderr" in streams)
    with opened(options, owner=True) as engine:
        try:
            container = engine.create(spec, image_for(engine, spec.image, options))
            write_cidfile(options.cidfile, container.id)
        except Exception as error:
            return _failed(error, options)
        size = terminal_size() if options.tty else (0, 0)
        try:
            contact = engine.start(container, attached=not options.detach, reaper=options.rm and not options.detach, console_size=size)
        except Exception as error:
            if options.rm:
                engine.remove(container, volumes=True)
            return _failed(error, options)
        assert contact, "nobody else knows it yet"
        warn_of(contact)
        if options.detach:
            contact.close()
            print(container.id)
            return 0
        if options.tty and "stdin" in streams and not os.isatty(0):
            print("warning: stdin is no terminal", file=sys.stderr)
        return stay(engine, container, contact, ask=False, streams=streams, detach_keys=options.detach_keys, proxy=options.sig_proxy)


def _failed(error: Exception, options: Options) -> int:
    """What went wrong, on stderr; docker's exit status for it: 125, or 126 and 127 if only the command is at fault."""
    from pybuild.output.errors import report

    status = report(error, debug=options.debug)
    return int(getattr(error, "exit_status", 0)) or (status if status == 2 else TOOL_FAILED)


def _streams(options: Options) -> tuple[str, ...]:
    given = tuple(word.lower() for word in options.attach)
    unknown = next((word for word in given if word not in ALL), "")
    if unknown:
        raise Misuse(f"`--attach {unknown}` is none of stdin, stdout, stderr")
    if options.detach:
        if given:
            raise Misuse("`--attach` and `--detach` contradict each other")
        return ()
    return given or ("stdout", "stderr", *(("stdin",) if options.interactive else ()))
