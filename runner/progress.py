"""What is told while a project changes: one value for each piece of news, given to whoever shows it."""

from kernel.value import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeAlias

# words, as compose has them: what is being done, and that it is
CREATING, CREATED, RECREATE, RECREATED = "Creating", "Created", "Recreate", "Recreated"
STARTING, STARTED, RUNNING = "Starting", "Started", "Running"
STOPPING, STOPPED, KILLING, KILLED = "Stopping", "Stopped", "Killing", "Killed"
REMOVING, REMOVED, RENAMED = "Removing", "Removed", "Renamed"
RESTARTING, PAUSING, PAUSED, UNPAUSING, UNPAUSED = "Restarting", "Pausing", "Paused", "Unpausing", "Unpaused"
WAITING, HEALTHY, EXITED = "Waiting", "Healthy", "Exited"
PULLING, PULLED, BUILDING, BUILT, PUSHING, PUSHED = "Pulling", "Pulled", "Building", "Built", "Pushing", "Pushed"
ERROR, SKIPPED, IN_USE = "Error", "Skipped", "Resource is still in use"

DONE = frozenset((
    CREATED, RECREATED, STARTED, RUNNING, STOPPED, KILLED, REMOVED, RENAMED, PAUSED, UNPAUSED, HEALTHY, EXITED, PULLED, BUILT, PUSHED, ERROR, SKIPPED,
    IN_USE))


class Progress(Value):
    """kind: Container, Network, Volume, Image. detail: what is to be said of it beside the word."""

    kind: str
    name: str
    word: str
    detail: str = ""


class Output(Value):
    """What a hook has written. name: of its container."""

    name: str
    hook: str
    data: bytes


class Warned(Value):
    """Something the user should know."""

    text: str


if TYPE_CHECKING:
    News: TypeAlias = Progress | Output | Warned
    OnNews: TypeAlias = Callable[[News], None]
