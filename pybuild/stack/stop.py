"""`pyup stop`: stop containers of a project, dependents first."""

from pybuild.option import COUNT, Operand, Option, Usage
from pybuild.scanner import Options
from pybuild.stack.project import printer, stack
from pybuild.stack.steps import carry_out

USAGE = Usage("Stop containers, and leave them there.", "pyup stop -t 5 web", (Operand("services", "*", "only these"),),
              (Option("-t --timeout", COUNT, "seconds that containers have to stop", "SECONDS"),))


def main(options: Options) -> int:
    from runner.plan_down import stop

    with stack(options, options.services, locked=True) as it:
        plan = stop(it.project, it.present(), it.chosen())
        return carry_out(it, plan, printer(options, it.environment), timeout_s=options.timeout)
