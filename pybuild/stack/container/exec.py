"""`pyup container exec`: run a further command in a running container."""

from pybuild.option import FLAG, LIST, VALUE, Operand, Option, Usage
from pybuild.scanner import Misuse, Options
from pybuild.stack.opening import opened

USAGE = Usage(
    "Run a command in a running container.", "pyup container exec -it web sh",
    (Operand("container", "1", "name or ID"), Operand("command", "...", "what to run, with its arguments")),
    (Option("-i --interactive", FLAG, "pass stdin on"),
     Option("-t --tty", FLAG, "give it a terminal"),
     Option("-d --detach", FLAG, "do not wait for it"),
     Option("-e --env", LIST, "set a variable", "NAME[=VALUE]"),
     Option("--env-file", LIST, "read variables from a file", "FILE"),
     Option("-u --user", VALUE, "who it runs as", "NAME|UID[:GROUP|GID]"),
     Option("-w --workdir", VALUE, "working directory inside", "PATH"),
     Option("--privileged", FLAG, "give it every capability"),
     Option("--detach-keys", VALUE, "keys that let go of it", "KEYS", "ctrl-p,ctrl-q")),
    stop_early=True)


def main(options: Options) -> int:
    if not options.command:
        raise Misuse("COMMAND is missing: what to run")
    env: tuple[str, ...] = ()
    if options.env or options.env_file:
        from pybuild.stack.container.words import environment

        env = environment(options.env, options.env_file)
    from runner.executing import execute
    from runner.lower import exec_spec

    with opened(options) as engine:
        container = engine.find(options.container)
        size = None
        if options.tty:
            from pybuild.stack.container.staying import terminal_size

            rows, columns = terminal_size()
            size = (rows or 24, columns or 80)
        spec = exec_spec(container, tuple(options.command), env=env, working_dir=options.workdir or "", user=options.user,
                         privileged=options.privileged, terminal=size)
        try:
            return execute(engine, container, spec, stdin=0 if options.interactive and not options.detach else -1, detach=options.detach,
                           detach_keys=options.detach_keys)
        except Exception as error:
            from pybuild.output.errors import report

            status = report(error, debug=options.debug)
            return int(getattr(error, "exit_status", 0)) or status
