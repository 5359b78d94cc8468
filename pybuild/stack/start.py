"""`pyup start`: start containers that there are, dependencies first."""

from pybuild.option import COUNT, FLAG, Operand, Option, Usage
from pybuild.scanner import Options
from pybuild.stack.project import printer, stack
from pybuild.stack.steps import carry_out

USAGE = Usage("Start containers that there are.", "pyup start web", (Operand("services", "*", "only these, and those they depend on"),),
              (Option("--wait", FLAG, "wait until all are running or healthy"),
               Option("--wait-timeout", COUNT, "wait no longer than that", "SECONDS")))


def main(options: Options) -> int:
    from runner.plan_down import start

    with stack(options, options.services, locked=True) as it:
        present = it.present()
        names = {one.name for one in it.project.services}
        chosen = [one for one in present.containers if not one.one_off and (one.service in names if it.loaded else one in it.chosen())]
        show = printer(options, it.environment)
        status = carry_out(it, start(it.project, present, chosen, it.services or sorted(names)), show)
        if status or not options.wait:
            return status
        from pybuild.stack.converging import Failed, tell
        from pybuild.stack.waiting import wait_until_ready

        try:
            return wait_until_ready(it, it.project, dict.fromkeys(one.service for one in chosen), options.wait_timeout, show)
        except Failed as error:
            tell(error.failures, it, show)
            return 1
