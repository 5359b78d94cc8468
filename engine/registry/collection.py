"""Collection while serving: the ledger forgets what no manifest needs, the store removes what nothing leads to. Out: what went."""

import time
from collections.abc import Callable
from threading import Event, Thread

from engine.registry.ledger import Ledger
from engine.registry.uploads import Uploads
from kernel.value import Value
from store.gc import sweep
from store.store import Store

TYPE_CHECKING = False
if TYPE_CHECKING:
    from store.digest import Digest


class Keeping(Value):
    """Times in seconds. unused: of blobs that no manifest names (a push of many layers takes its time). untagged: of manifests that no tag, index or
    subject leads to; idle: of everything that nobody asks for (a mirror can get it again); None keeps them for ever."""

    unused_s: float = 24 * 3600.0
    untagged_s: "float | None" = None
    idle_s: "float | None" = None


class Collected(Value):
    """manifests, blobs: how many the ledger forgot; removed: what the store then let go of; bytes: space that is free again."""

    manifests: int
    blobs: int
    removed: "tuple[Digest, ...]"
    bytes: int


def collect(store: Store, ledger: Ledger, uploads: Uploads, keeping: Keeping) -> Collected:
    """One collection. Pushes and pulls go on meanwhile: what they use is leased, or in the ledger."""
    uploads.expire()
    now = time.time()
    idle = ledger.forget_idle(int(now - keeping.idle_s)) if keeping.idle_s is not None else (0, 0)
    unused = ledger.forget_unused(int(now - keeping.unused_s), None if keeping.untagged_s is None else int(now - keeping.untagged_s))
    swept = sweep(store)
    return Collected(idle[0] + unused[0], idle[1] + unused[1], swept.blobs, swept.bytes)


class Collector:
    """Runs `once` every `interval_s` in a thread, until `close`."""

    def __init__(self, once: "Callable[[], object]", interval_s: float, failed: "Callable[[Exception], None]") -> None:
        self._once, self._interval_s, self._failed = once, interval_s, failed
        self._end = Event()
        self._thread = Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while not self._end.wait(self._interval_s):
            try:
                self._once()
            except Exception as error:                 # the next one may do better; who serves is told
                self._failed(error)

    def close(self) -> None:
        self._end.set()
        self._thread.join()
