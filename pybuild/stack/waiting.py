"""`--wait`: until every container of some services runs, is healthy, or has done what it had to do once; or until that is out of reach."""

from pybuild.stack.converging import Failed
from runner.action import STARTS, Step, WaitFor
from runner.apply import Work
from runner.errors import RunError
from runner.reactor import Reactor
from runner.readiness import READY
from runner.tasks import Tasks

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from pybuild.stack.project import stack
    from pybuild.stack.showing import Printer
    from runner.model.project import Project


class NotReady(RunError):
    """It took too long."""

    def __init__(self, seconds: float) -> None:
        super().__init__(seconds)
        self.seconds = seconds

    def __str__(self) -> str:
        return f"application not healthy after {self.seconds:g}s"


def wait_until_ready(it: "stack", project: "Project", services: "Iterable[str]", timeout_s: "int | None", printer: "Printer") -> int:
    """0. Raises Failed, NotReady."""
    present = it.present()
    ends = {name for one in project.services for name, dependency in one.depends_on if dependency.condition == "service_completed_successfully"}
    steps = []
    for number, name in enumerate(services, 1):
        names = tuple(one.name for one in present.of(name))
        if names:
            steps.append(Step(number, STARTS, WaitFor(name, "service_completed_successfully" if name in ends else READY, names)))
    with Reactor(it.engine.store.events) as reactor:
        reactor.follow()
        if timeout_s:
            reactor.after(timeout_s, lambda: _give_up(timeout_s))
        failures = Tasks(reactor, Work(it.engine, project, (), printer).task).run(steps)
    if failures:
        raise Failed(failures)
    return 0


def _give_up(seconds: float) -> None:
    raise NotReady(seconds)
