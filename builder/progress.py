"""What a build says while it runs: events, handed to one `on_event` function given in at the top. The only side channel there is."""

from kernel.value import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeAlias


class StepQueued(Value):
    """A step of the plan, told once before anything runs. number: from 1, in the plan's order."""

    number: int
    label: str
    digest: str = ""             # of its vertex, where the reader wants an identity (rawjson)


class StepStarted(Value):
    number: int
    label: str


class StepCached(Value):
    """Its result was already there. why: "" for a plain hit, else a few words ("identical result", "built by another process")."""

    number: int
    label: str
    why: str = ""


class StepExplained(Value):
    """Whether a step is a hit ("hit", "miss", or "later" if that depends on steps that run), and the causes of a miss, most telling first."""

    number: int
    label: str
    verdict: str
    causes: tuple[str, ...] = ()


class StepLog(Value):
    """A piece of what a step's process wrote. stream: 1 or 2. Pieces come as written, lines may be cut."""

    number: int
    stream: int
    data: bytes


class StepNote(Value):
    """A word about a step from us: "waits for another build", "12.3 MB copied"."""

    number: int
    text: str


class StepDone(Value):
    number: int
    label: str
    seconds: float
    error: str = ""              # "" or one line


class Note(Value):
    """A word about the build as a whole. level: "info" or "warning"."""

    level: str
    text: str


class CheckWarning(Value):
    """What a build check has found. Lines are those that are reported, from 1."""

    rule: str
    message: str
    file: str
    line: int
    end: int
    url: str


class CheckWarnings(Value):
    """What the build checks have found in the Dockerfile, told once, when the build ends. main: the Dockerfile's name."""

    main: str
    found: tuple[CheckWarning, ...]


Event: "TypeAlias" = "StepQueued | StepStarted | StepCached | StepExplained | StepLog | StepNote | StepDone | Note | CheckWarnings"
if TYPE_CHECKING:
    OnEvent: TypeAlias = Callable[[Event], None]
