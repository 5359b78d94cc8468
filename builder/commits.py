"""What steps have made, on its way into the store: records that are kept a little later than their layers, so that what follows can begin before.

In: records and drafts, from the process that plans; out: rows of the cache, snapshots, logs under their names. A kill before `keep` loses the step,
and nothing else: its draft is debris that the next build removes.
"""

import os

from store.digest import from_raw

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from builder.graph import Edge
    from builder.plan import Step
    from builder.selection import Manifest
    from store.cache import CacheRecord
    from store.digest import Digest
    from store.snapshots import Draft
    from store.store import Store


class Commits:
    """content, manifest: as SandboxExecutor has them; kept: told of each step whose record is there."""

    def __init__(self, store: "Store", content: "Callable[[Edge], Digest]", manifest: "Callable[[Digest], Manifest | None]",
                 kept: "Callable[[Step], None]") -> None:
        self._store, self._content, self._manifest, self._kept = store, content, manifest, kept
        self._waiting: list[tuple[Step, Draft | None, CacheRecord]] = []
        self._replaced: list[str] = []                   # placed drafts in whose stead an earlier layer is used
        self._logs: dict[str, Digest | None] = {}        # name of a draft -> key of its step, which had none when it began to write its log

    def disown(self) -> None:
        """In a worker: all that waits is its parent's."""
        self._waiting, self._replaced, self._logs = [], [], {}

    def add(self, step: "Step", record: "CacheRecord", placed: "Draft | None" = None) -> None:
        """A record to be kept; placed: the draft that is its snapshot, if nobody has confirmed it."""
        self._waiting.append((step, placed, record))

    def replace(self, draft: "Draft") -> None:
        """Another layer is used in the stead of this placed draft, over which somebody may be mounted."""
        self._replaced.append(draft.id)

    def keep(self) -> None:
        """Write the records that wait, all at once."""
        if not self._waiting:
            return
        with self._store.index:
            for step, _, record in self._waiting:
                self._put(step, record)
        waiting, self._waiting = self._waiting, []
        for step, placed, _ in waiting:
            if placed:
                self._store.snapshots.confirm(placed)
            self._kept(step)
        self._file_logs()

    def _put(self, step: "Step", record: "CacheRecord") -> None:
        self._store.cache.put(record)
        for edge in step.vertex.inputs:
            found = self._manifest(self._content(edge)) if edge.selector is not None else None
            if found is not None:                        # so that a later miss can name the file
                self._store.cache.keep({found.digest: found.top, **{from_raw(raw): data for raw, data in found.rows.items()}})

    def clear_up(self, used: "Collection[str]" = ()) -> None:
        """Remove drafts that were replaced, but for those in use."""
        for name in [name for name in self._replaced if name not in used]:
            self._replaced.remove(name)
            self._store.snapshots.withdraw(name)

    # ------------------------------------------------------------ logs
    def log_path(self, name: str) -> str:
        return f"{self._store.root.path}/logs/{name}"

    def name_log(self, draft: str, key: "Digest | None") -> None:
        """The key of a step that was begun without one is known: its log is called by it as soon as that is there."""
        self._logs[draft] = key

    def _file_logs(self) -> None:
        for draft in list(self._logs):
            path = self.log_path(log_name(None, draft))
            if os.path.exists(path):
                os.rename(path, self.log_path(log_name(self._logs.pop(draft))))

    def forget(self, draft: str) -> None:
        """Remove what is there of a step that was begun in vain, whose worker is gone."""
        self._logs.pop(draft, None)
        self._store.snapshots.withdraw(draft)
        path = self.log_path(log_name(None, draft))
        if os.path.exists(path):
            os.unlink(path)

    def close(self, begun: "Collection[str]") -> None:
        """The end: begun are the drafts of steps that did not end well."""
        self._file_logs()
        self.clear_up()
        for name in begun:
            self._store.snapshots.withdraw(name)


def log_name(key: "Digest | None", draft: str = "") -> str:
    """Name of the file that keeps what a step printed; that of its draft as long as it has no key."""
    return f"step-{key.removeprefix('sha256:')[:32] if key else draft}.log"
