"""`pyup stats`: what a project's containers use of the machine."""

from pybuild.option import FLAG, VALUE, Operand, Option, Usage
from pybuild.scanner import Options
from pybuild.stack.project import stack

USAGE = Usage("Show what containers use of the machine.", "pyup stats --no-stream", (Operand("service", "?", "only this one's"),),
              (Option("-a --all", FLAG, "show those too that do not run"),
               Option("--format", VALUE, "table, json, or a Go template", "FORMAT"),
               Option("--no-stream", FLAG, "show one reading and end"),
               Option("--no-trunc", FLAG, "print IDs in full")))


def main(options: Options) -> int:
    from pybuild.stack.container import stats

    with stack(options, [options.service] if options.service else [], owner=False) as it:
        options.containers = [one.id for one in it.chosen() if options.all or one.is_running]
    if not options.containers:
        from runner.errors import NoContainer

        raise NoContainer(options.service or it.name, running=not options.all, whole=not options.service)
    return stats.main(options)
