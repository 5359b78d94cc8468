"""A plan about containers that there are, carried out and shown: for down, stop, start, restart, rm and others that make none."""

from pybuild.stack.converging import tell
from pybuild.stack.project import limit
from runner.apply import Work, apply
from runner.reactor import Reactor

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pybuild.stack.project import stack
    from pybuild.stack.showing import Printer
    from runner.action import Plan


def carry_out(it: "stack", plan: "Plan", show: "Printer", *, timeout_s: "float | None" = None) -> int:
    """The command's exit status. timeout_s: that containers have to stop, None: as each service has it."""
    if it.said.dry_run:
        from pybuild.stack.plan import show as show_plan

        show_plan(plan)
        return 0
    for note in plan.notes:
        show.warn(note)
    work = Work(it.engine, it.project, (), show, timeout_s=timeout_s)
    with Reactor(it.engine.store.events) as reactor:
        failures = apply(plan, work, reactor, limit=limit(it.options, it.environment))
    show.close()
    if failures:
        tell(failures, it, show)
        return 1
    return 0
