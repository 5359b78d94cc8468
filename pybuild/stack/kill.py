"""`pyup kill`: send containers a signal."""

from pybuild.option import FLAG, VALUE, Operand, Option, Usage
from pybuild.scanner import Options
from pybuild.stack.each import on_each
from pybuild.stack.project import is_set, printer, stack

USAGE = Usage("Send running containers a signal.", "pyup kill -s HUP web", (Operand("services", "*", "only these"),),
              (Option("-s --signal", VALUE, "which one", "SIGNAL", "SIGKILL"),
               Option("--remove-orphans", FLAG, "remove containers of services that the files do not have")))


def main(options: Options) -> int:
    from runner.progress import KILLED, KILLING
    from runner.signals import parse_signal

    parse_signal(options.signal)
    with stack(options, options.services, owner=options.remove_orphans) as it:
        show = printer(options, it.environment)
        chosen = [one for one in it.chosen() if one.is_running]
        status = on_each(it, chosen, lambda container: it.engine.kill(container, options.signal), (KILLING, KILLED), show)
        if options.remove_orphans or is_set(it.environment, "COMPOSE_REMOVE_ORPHANS"):
            from pybuild.stack.steps import carry_out
            from runner.plan import is_orphan
            from runner.plan_down import remove

            present = it.present()
            services = {one.name for one in (*it.project.services, *it.project.disabled)}
            orphans = [one for one in present.containers if is_orphan(one, services)]
            status = max(status, carry_out(it, remove(it.project, present, orphans, volumes=False, stopping=True), show))
        return status
