"""`pyup rm`: remove containers that do not run."""

import sys

from pybuild.option import FLAG, Operand, Option, Usage
from pybuild.scanner import Options
from pybuild.stack.project import printer, stack
from pybuild.stack.steps import carry_out

USAGE = Usage("Remove stopped containers.", "pyup rm -fsv web", (Operand("services", "*", "only these"),),
              (Option("-f --force", FLAG, "do not ask"),
               Option("-s --stop", FLAG, "stop them first, if they run"),
               Option("-v --volumes", FLAG, "remove their anonymous volumes too"),
               Option("-a --all", FLAG, "accepted; has no effect", hidden=True)))


def main(options: Options) -> int:
    from runner.plan_down import remove

    with stack(options, options.services, locked=True) as it:
        chosen = [one for one in it.chosen(one_off=True) if options.stop or not one.is_running]
        show = printer(options, it.environment)
        if not chosen:
            show.say("No stopped containers")
            return 0
        if not options.force and not it.said.dry_run and not _agrees([one.name for one in chosen]):
            return 0
        return carry_out(it, remove(it.project, it.present(), chosen, volumes=options.volumes, stopping=options.stop), show)


def _agrees(names: list[str]) -> bool:
    print(f"Going to remove {', '.join(names)}\nAre you sure? [yN] ", end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip().lower() in ("y", "yes")
