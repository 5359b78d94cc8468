"""What FROM, --from and a mount's from can name."""

from kernel.value import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import TypeAlias

    Ref: TypeAlias = "StageRef | ImageRef | NamedRef | Scratch"


class StageRef(Value):
    """A stage of this file."""

    number: int                                           # from 0


class ImageRef(Value):
    """An image, by the name that the file says."""

    name: str


class NamedRef(Value):
    """A context that the user gave a name (`--build-context name=...`)."""

    name: str


class Scratch(Value):
    """Nothing: an empty file system."""
