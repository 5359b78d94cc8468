"""Snapshots: directories in overlay's form, one a layer, that nobody writes to again. In: drafts; out: IDs, and directories to mount.

A draft lies under tmp/ until `commit` renames it to snapshots/ID: `fs` is overlay's upper directory, `tree` its rows (marshal), `below` the
IDs of earlier snapshots that it is stacked on (a part of the same layer: see architecture.md section 5, "Stack, never hard-link").
"""

import marshal
import os

from kernel.value import Value
from store.errors import SnapshotMissing
from store.temporary import Temporary

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NewType

    from store.tree import Tree

    SnapshotId = NewType("SnapshotId", str)
else:
    SnapshotId = str

_WORK = ".work"


class Draft(Value):
    """A snapshot in the making. `directory` is what will be mounted; `work` is overlay's work directory, which lies beside it and goes away."""

    id: "SnapshotId"
    path: str
    directory: str
    work: str


class Snapshots:
    def __init__(self, directory: str, temporary: Temporary, owners: str) -> None:
        self.directory = directory
        self._temporary = temporary
        self._owners = owners
        self._stacks: "dict[str, tuple[str, ...]]" = {}

    # ------------------------------------------------------------ making one
    def begin(self, like: str = "") -> Draft:
        """A new empty draft, which lives as long as this process. like: as `resemble` takes it, "" for none."""
        name = self._temporary.name()
        path = self._temporary.path(name)
        draft = Draft(SnapshotId(name), path, f"{path}/fs", f"{path}{_WORK}")
        os.mkdir(path, 0o700)
        os.mkdir(draft.directory, 0o755)
        os.mkdir(draft.work, 0o700)
        if like:
            self.resemble(draft, like)
        else:
            os.chmod(draft.directory, 0o755)           # whatever the umask
        return draft

    def resemble(self, draft: Draft, like: str) -> None:
        """Give the root of a new draft the mode, owner and times of the directory `like`: what is mounted on top decides about `/`."""
        status = os.stat(like)
        if (status.st_uid, status.st_gid) != (os.geteuid(), os.getegid()):
            os.chown(draft.directory, status.st_uid, status.st_gid)
        os.chmod(draft.directory, status.st_mode & 0o7777)
        os.utime(draft.directory, ns=(status.st_mtime_ns, status.st_mtime_ns))

    def commit(self, draft: Draft, *, below: "tuple[SnapshotId, ...]" = (), tree: "Tree | None" = None) -> "SnapshotId":
        """Make the draft a snapshot: no process of the step is left, nothing is mounted. The draft is used up.

        below: earlier snapshots that it is stacked on, topmost first; with what they are stacked on themselves, they follow it in `directories`.
        tree: rows of the draft's own directory, kept with it so that they need not be scanned again.
        """
        self.remove_work(draft)
        if tree is not None:
            _write(f"{draft.path}/tree", marshal.dumps(tree, 2))
        if below:
            _write(f"{draft.path}/below", " ".join(self._flat(below)).encode())
        os.rename(draft.path, f"{self.directory}/{draft.id}")
        return draft.id

    def place(self, draft: Draft, name: str) -> Draft:
        """Put a draft where its snapshot will be, before it is known what is in it: others may be mounted over it from now on.

        name: one that the parent got from `new_name`. Until `confirm`, a link under tmp/ says that it is unfinished: if the parent is killed, the
        link leads `Temporary.sweep` to it. The work directory stays the worker's, as in `hand_over`.
        """
        self._temporary.point(name, f"../{os.path.basename(self.directory)}/{name}")
        path = f"{self.directory}/{name}"
        os.rename(draft.path, path)
        return Draft(SnapshotId(name), path, f"{path}/fs", f"{self._temporary.path(name)}{_WORK}")

    def is_placed(self, draft: Draft) -> bool:
        return draft.path.startswith(f"{self.directory}/")

    def add_tree(self, draft: Draft, tree: "Tree") -> None:
        """Keep the rows of a placed draft with it."""
        _write(f"{draft.path}/tree", marshal.dumps(tree, 2))

    def confirm(self, draft: Draft) -> "SnapshotId":
        """A placed draft is a snapshot now."""
        self._temporary.remove(draft.id)
        return draft.id

    def withdraw(self, name: str) -> None:
        """Remove a placed draft that is not to be a snapshot; fine if it was none."""
        if self._temporary.is_pointer(name):
            self.delete(SnapshotId(name))
            self._temporary.remove(name)

    def hand_over(self, draft: Draft, tree: "Tree", name: str) -> Draft:
        """Finish all but the name: for a worker whose parent commits. name: one that the parent got from `new_name`, and so is alive with it.

        The work directory stays the worker's: `remove_work` costs as much as the rest, and can be done when the parent knows.
        """
        _write(f"{draft.path}/tree", marshal.dumps(tree, 2))
        path = self._temporary.path(name)
        os.rename(draft.path, path)
        return Draft(SnapshotId(name), path, f"{path}/fs", f"{path}{_WORK}")

    def remove_work(self, draft: Draft) -> None:
        work = draft.work
        try:
            os.unlink(f"{work}/work/incompat/volatile/dirty")            # all that a volatile overlay leaves there
            for name in ("/work/incompat/volatile", "/work/incompat", "/work", ""):
                os.rmdir(f"{work}{name}")
        except OSError:
            if os.path.exists(work):
                self._temporary.remove(f"{draft.id}{_WORK}")

    def new_name(self) -> str:
        """A name for a draft, which lives as long as this process."""
        return self._temporary.name()

    def discard(self, draft: Draft) -> None:
        self.remove_work(draft)
        self._temporary.remove(draft.id)

    # ------------------------------------------------------------ using one
    def has(self, snapshot: "SnapshotId") -> bool:
        return bool(snapshot) and "/" not in snapshot and os.path.isdir(f"{self.directory}/{snapshot}/fs")

    def hold(self, *snapshots: "SnapshotId") -> bool:
        """Keep them, and what they are stacked on, as long as this process lives. False if one is not there (any more)."""
        lease = self._temporary.leases.current()
        lease.hold("snapshot", *snapshots)
        try:
            parts = self._flat(snapshots)
        except SnapshotMissing:
            return False
        lease.hold("snapshot", *parts)
        return all(self.has(part) for part in parts)

    def stack(self, snapshot: "SnapshotId") -> "tuple[SnapshotId, ...]":
        """The snapshot and what it is stacked on, topmost first: the parts of one layer. Raises SnapshotMissing."""
        known = self._stacks.get(snapshot)
        if known is None:
            try:
                with open(f"{self.directory}/{snapshot}/below", "rb", buffering=0) as file:
                    known = (snapshot, *file.read().decode().split())
            except FileNotFoundError:
                if not self.has(snapshot):
                    raise SnapshotMissing(snapshot) from None
                known = (snapshot,)
            self._stacks[snapshot] = known
        return known    # type: ignore[return-value]  # str from a file of ours

    def _flat(self, snapshots: "tuple[SnapshotId, ...]") -> "list[SnapshotId]":
        found: "list[SnapshotId]" = []
        for snapshot in snapshots:
            found += [part for part in self.stack(snapshot) if part not in found]
        return found

    def path(self, snapshot: "SnapshotId") -> str:
        """Directory of this part alone."""
        return f"{self.directory}/{snapshot}/fs"

    def directories(self, snapshot: "SnapshotId") -> "tuple[str, ...]":
        """What to mount for this layer, topmost first."""
        return tuple(f"{self.directory}/{part}/fs" for part in self.stack(snapshot))

    def has_tree(self, snapshot: "SnapshotId") -> bool:
        """Whether the rows of this part are kept, so that `own_tree` reads no file of it."""
        return os.path.exists(f"{self.directory}/{snapshot}/tree")

    def own_tree(self, snapshot: "SnapshotId") -> "Tree":
        """Rows of this part alone: as kept, or scanned (and kept) now."""
        path = f"{self.directory}/{snapshot}"
        try:
            with open(f"{path}/tree", "rb", buffering=0) as file:
                tree: "Tree" = marshal.loads(file.read())
                return tree
        except (OSError, ValueError, EOFError, TypeError):
            pass
        from store.tree import scan

        try:
            tree = scan(f"{path}/fs", owners=self._owners)
        except FileNotFoundError:
            raise SnapshotMissing(snapshot) from None
        name = self._temporary.name()
        _write(self._temporary.path(name), marshal.dumps(tree, 2))
        os.rename(self._temporary.path(name), f"{path}/tree")
        return tree

    def tree(self, snapshot: "SnapshotId") -> "Tree":
        """Rows of the whole layer: of the snapshot stacked on what lies below it."""
        *above, lowest = self.stack(snapshot)
        tree = self.own_tree(lowest)
        if above:
            from store.tree import stack
        for part in reversed(above):           # from below: what a part deletes may be in any part under it
            tree = stack(self.own_tree(part), tree)
        return tree

    # ------------------------------------------------------------ removing
    def delete(self, snapshot: "SnapshotId") -> None:
        """Remove it from the disk; whether somebody needs it is the collector's question, not asked here."""
        self._temporary.remove(self.hide(snapshot))

    def hide(self, snapshot: "SnapshotId") -> str:
        """Take it out of the store at once; returns the name under tmp/ that is to be removed. Missing is fine."""
        self._stacks.pop(snapshot, None)
        name = self._temporary.name()
        try:
            os.rename(self.holder(snapshot), self._temporary.path(name))
        except FileNotFoundError:
            pass
        return name

    def holder(self, snapshot: "SnapshotId") -> str:
        """The directory with everything of this part: its files, its rows, what it is stacked on."""
        return f"{self.directory}/{snapshot}"

    def all(self) -> "list[SnapshotId]":
        return [SnapshotId(name) for name in sorted(os.listdir(self.directory))]


def _write(path: str, data: bytes) -> None:
    with open(path, "xb", buffering=0) as file:
        view = memoryview(data)
        while view:
            view = view[file.write(view):]
