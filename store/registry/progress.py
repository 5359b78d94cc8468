"""What a pull or a push says while it goes on: one value each time something about a layer or the whole has changed."""

from kernel.value import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeAlias

# what is happening to a layer
WAITING, EXISTS, DOWNLOADING, EXTRACTING, PULLED = "waiting", "exists", "downloading", "extracting", "pulled"
COMPRESSING, UPLOADING, MOUNTED, PUSHED = "compressing", "uploading", "mounted", "pushed"
FINAL = (EXISTS, PULLED, MOUNTED, PUSHED)


class Transfer(Value):
    """One layer. id: diff ID of a pushed layer, digest of a pulled one; state: one of the words above; total: bytes, 0 if nobody knows."""

    id: str
    state: str
    done: int = 0
    total: int = 0
    detail: str = ""                     # a few words: where it was mounted from


class Word(Value):
    """A line about the whole: "trying again", "digest: sha256:..."."""

    text: str


if TYPE_CHECKING:
    Progress: TypeAlias = Transfer | Word
    OnProgress: TypeAlias = Callable[[Progress], None]


class Serial:
    """An OnProgress that several threads may call: what it is given to is called by one at a time."""

    def __init__(self, on_progress: "OnProgress | None") -> None:
        from threading import Lock

        self._call, self._lock = on_progress, Lock()

    def __call__(self, progress: "Progress") -> None:
        if self._call is not None:
            with self._lock:
                self._call(progress)


def silent(progress: "Progress") -> None:
    """An OnProgress that nobody listens to."""
