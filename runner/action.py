"""What can be done to bring a project where it should be: one frozen value for each thing, and the Plan that they make. Values only.

A container that exists is named by its ID, one that is to be made by its name. `reasons`: why, a line each.
"""

from kernel.value import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import TypeAlias

    Texts: TypeAlias = tuple[str, ...]

# phases: what is in one begins when all of the one before has gone well
IMAGES, RESOURCES, CONTAINERS, STARTS = range(4)


class BuildImage(Value):
    """image: the name it gets."""

    service: str
    image: str
    reasons: "Texts" = ()


class PullImage(Value):
    """optional: where it fails, what is here is good enough (there is one already, or it can be built)."""

    service: str
    image: str
    reasons: "Texts" = ()
    optional: bool = False


class CreateNetwork(Value):
    """key: what the files call it."""

    key: str
    name: str


class RemoveNetwork(Value):
    name: str
    reasons: "Texts" = ()


class CreateVolume(Value):
    key: str
    name: str


class RemoveVolume(Value):
    name: str
    reasons: "Texts" = ()


class RemoveImage(Value):
    name: str


class CreateContainer(Value):
    service: str
    number: int
    name: str
    reasons: "Texts" = ()


class RecreateContainer(Value):
    """Make the new one, stop and remove the old one, whose log and (with `inherit`) anonymous volumes the new one has then.

    old, old_name: of the container there is; name: that it will have.
    """

    service: str
    number: int
    name: str
    old: str
    old_name: str
    reasons: "Texts" = ()
    inherit: bool = True


class RenameContainer(Value):
    id: str
    old_name: str
    name: str


class StartContainer(Value):
    service: str
    name: str


class StopContainer(Value):
    """service: "" for one that the files do not know."""

    id: str
    name: str
    service: str
    reasons: "Texts" = ()


class RemoveContainer(Value):
    """volumes: its anonymous ones too."""

    id: str
    name: str
    service: str
    reasons: "Texts" = ()
    volumes: bool = False


class RunHook(Value):
    """kind: pre_start, post_start or pre_stop; position: which of that service's; container: name of the one it is about."""

    service: str
    container: str
    kind: str
    position: int


class WaitFor(Value):
    """condition: service_healthy, service_completed_successfully. required: without it a failure is only told."""

    service: str
    condition: str
    containers: "Texts"
    required: bool = True


if TYPE_CHECKING:
    Action: TypeAlias = (BuildImage | PullImage | CreateNetwork | RemoveNetwork | CreateVolume | RemoveVolume | RemoveImage | CreateContainer
                         | RecreateContainer | RenameContainer | StartContainer | StopContainer | RemoveContainer | RunHook | WaitFor)


class Step(Value):
    """after: numbers of the steps that have to be done before, of the same phase."""

    number: int
    phase: int
    action: "Action"
    after: "tuple[int, ...]" = ()


class Plan(Value):
    """Steps in an order in which they could be done one by one. notes: what the user should know."""

    project: str
    steps: "tuple[Step, ...]" = ()
    notes: "Texts" = ()

    @property
    def changes(self) -> bool:
        """Whether anything would be different afterwards: waiting changes nothing."""
        return any(not isinstance(step.action, WaitFor) for step in self.steps)

    def phase(self, number: int) -> "tuple[Step, ...]":
        return tuple(step for step in self.steps if step.phase == number)


class Draft:
    """A plan that is being written."""

    __slots__ = ("notes", "steps")

    def __init__(self) -> None:
        self.steps: list[Step] = []
        self.notes: list[str] = []

    def add(self, phase: int, action: "Action", after: "list[int] | tuple[int, ...]" = ()) -> int:
        """The number of the new step. Of `after` only steps of the same phase count."""
        number = len(self.steps) + 1
        kept = sorted({one for one in after if self.steps[one - 1].phase == phase})
        self.steps.append(Step(number, phase, action, tuple(kept)))
        return number

    def plan(self, project: str) -> Plan:
        """Steps by phase, numbered anew."""
        order = sorted(self.steps, key=lambda step: step.phase)
        numbers = {step.number: index for index, step in enumerate(order, 1)}
        steps = tuple(step._replace(number=numbers[step.number], after=tuple(sorted(numbers[one] for one in step.after))) for step in order)
        return Plan(project, steps, tuple(self.notes))
