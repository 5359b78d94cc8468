"""`pyup restart`: stop and start containers as they are; what the files say meanwhile does not count."""

from pybuild.option import COUNT, FLAG, Operand, Option, Usage
from pybuild.scanner import Options
from pybuild.stack.project import printer, stack
from pybuild.stack.steps import carry_out

USAGE = Usage("Restart containers.", "pyup restart -t 5 web", (Operand("services", "*", "only these, and what is to restart with them"),),
              (Option("-t --timeout", COUNT, "seconds that containers have to stop", "SECONDS"),
               Option("--no-deps", FLAG, "leave the services alone that are to restart with them")))


def main(options: Options) -> int:
    from runner.plan_down import restart

    with stack(options, options.services, locked=True) as it:
        plan = restart(it.project, it.present(), it.chosen(), dependents=not options.no_deps)
        return carry_out(it, plan, printer(options, it.environment), timeout_s=options.timeout)
