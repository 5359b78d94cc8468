"""`pyup exec`: run a further command in a service's container."""

import os

from pybuild.option import COUNT, FLAG, LIST, VALUE, Operand, Option, Usage
from pybuild.scanner import Misuse, Options
from pybuild.stack.project import stack

USAGE = Usage(
    "Run a command in a running container of a service.", "pyup exec web sh\npyup exec -T db dump > dump.sql",
    (Operand("service", "1", "which service"), Operand("command", "...", "what to run, with its arguments")),
    (Option("-d --detach", FLAG, "do not wait for it"),
     Option("-e --env", LIST, "set a variable", "NAME[=VALUE]"),
     Option("--index", COUNT, "in the container with this number", "N", "0"),
     Option("-T --no-tty --no-TTY", FLAG, "no terminal (the default where there is none)"),
     Option("-i --interactive", FLAG, "accepted; stdin is always passed on", hidden=True, default="true"),
     Option("-t --tty", FLAG, "accepted; there is a terminal where there can be one", hidden=True),
     Option("--privileged", FLAG, "give it every capability"),
     Option("-u --user", VALUE, "who it runs as", "NAME|UID[:GROUP|GID]"),
     Option("-w --workdir", VALUE, "working directory inside", "PATH")),
    stop_early=True)


def main(options: Options) -> int:
    if not options.command:
        raise Misuse("COMMAND is missing: what to run")
    from pybuild.stack.container.words import environment
    from runner.executing import execute
    from runner.lower import exec_spec

    with stack(options, owner=False) as it:
        container = it.one(options.service, options.index)
        if it.said.dry_run:
            print(f"would run {' '.join(options.command)} in container {container.name}")
            return 0
        size = None
        if not options.no_TTY and not options.detach and os.isatty(0) and os.isatty(1):
            from pybuild.stack.container.staying import terminal_size

            rows, columns = terminal_size()
            size = (rows or 24, columns or 80)
        spec = exec_spec(container, tuple(options.command), env=environment(options.env, []), working_dir=options.workdir or "", user=options.user,
                         privileged=options.privileged, terminal=size)
        try:
            return execute(it.engine, container, spec, stdin=-1 if options.detach else 0, detach=options.detach)
        except Exception as error:
            from pybuild.output.errors import report

            status = report(error, debug=options.debug)
            return int(getattr(error, "exit_status", 0)) or status
