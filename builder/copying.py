"""COPY, carried out: what a source selects is put where the destination says, in the draft of a new layer.

What enters: Taken values of some Files, a Target, and how owners and modes are to be. What leaves: files in the draft, byte for byte.
The rules are BuildKit's (spec/dockerfile.md 1.6 and 4): a directory's contents are merged into an existing one, never a file over a
directory or the reverse; a destination that is a symlink is written through, a symlink *in* a directory that is copied over is replaced.
"""

import os
from marshal import dumps, loads

from builder.errors import BuildError
from builder.files import DIRECTORY, REGULAR, SYMLINK, Node
from builder.selection import Taken, below
from kernel.value import Value
from store.dressing import give_marked
from store.tree import CHARACTER

TYPE_CHECKING = False
if TYPE_CHECKING:
    from builder.delta import Earlier
    from builder.files import Files
    from builder.selection import Keep
    from builder.target import Target
    from lang.chmod import Chmod

SOCKET, FIFO = 0o140000, 0o010000
_BUFFER = 1 << 20
_FORK_BYTES, _FORK_FILES = 16 << 20, 1000               # from here on a second process pays


class Dressing(Value):
    """How what is copied looks afterwards. None keeps the source's."""

    owner: tuple[int, int] | None = None
    chmod: "Chmod | None" = None

    def owner_of(self, files: "Files", node: Node) -> tuple[int, int]:
        return self.owner or files.owner or (node.stat[5], node.stat[6])

    def mode_of(self, node: Node) -> int:
        mode = node.stat[0] & 0o7777
        return self.chmod.apply(mode, node.is_directory) if self.chmod else mode


class _Job(Value):
    """A regular file to copy. group: which source it is from, and its inode: the names of one group are one file."""

    path: str
    node: Node
    mode: int
    owner: tuple[int, int]
    group: tuple[int, int]


def copy(files: "Files", taken: list[Taken], target: "Target", destination: str, dressing: Dressing, *, parents: bool = False,
         keep: "Keep | None" = None, earlier: "Earlier | None" = None) -> dict[str, bytes]:
    """Put `taken` at `destination` (absolute, a trailing `/` means a directory). Raises BuildError.

    Returns the sha256 of every regular file made, by its path in the layer.

    parents: keep the path of each source below its root.
    keep: what of a source (path relative to it) is copied. earlier: what lies below and need not be copied again (builder.delta).
    """
    if not taken:                                        # patterns that match nothing: not even the destination is made
        return {}
    place = _Placer(files, target, dressing, earlier)
    ahead, _, last = destination.rpartition("/")
    ensure = ahead if last not in ("", ".", "..") else destination
    target.make_directories(target.resolve(ensure), owner=dressing.owner)
    goal = target.resolve(destination)
    if earlier is not None:
        earlier.keep(goal)
    for number, item in enumerate(taken):
        place.source = number
        if parents:
            place.with_parents(item, goal, keep)
        elif item.node.is_directory:
            place.directory(item.node, goal, keep)
        elif keep is None or keep(item.base):
            place.file(item, goal)
    return place.finish()


class _Placer:
    """Decides where each node goes and makes all but regular files; those are collected, and copied by `finish`."""

    def __init__(self, files: "Files", target: "Target", dressing: Dressing, earlier: "Earlier | None") -> None:
        self._files, self._target, self._dressing, self._earlier = files, target, dressing, earlier
        self._jobs: dict[str, _Job] = {}
        self._links: dict[str, _Job] = {}                # further names of sources that have several
        self._first: dict[tuple[int, int], str] = {}     # group of such a source -> where its first name went
        self.source = 0                                  # number of the source that is being put

    def file(self, item: Taken, goal: str) -> None:
        if self._target.kind(goal) == DIRECTORY:
            goal = f"{goal}/{item.base}" if goal else item.base
        self._target.make_directories(goal.rpartition("/")[0], owner=self._dressing.owner)
        self._put(goal, item.node)

    def directory(self, top: Node, goal: str, keep: "Keep | None") -> None:
        """The contents of `top` into `goal`, which keeps its mode and owner if it exists and is 0755 else."""
        if self._target.kind(goal) not in (0, DIRECTORY):
            raise BuildError(f"`/{goal}` is no directory, so a directory cannot be copied to it")
        self._target.make_directories(goal, owner=self._dressing.owner)
        prefix = f"{goal}/" if goal else ""
        skipped: dict[str, Node] = {}                    # directories that `keep` refuses, made if something in them is wanted
        for rel, node in below(self._files, top):
            if keep is not None and not keep(rel):
                if node.is_directory:
                    skipped[rel] = node
                continue
            if skipped:
                self._make_skipped(rel, prefix, skipped)
            self._put(prefix + rel, node)

    def _make_skipped(self, rel: str, prefix: str, skipped: "dict[str, Node]") -> None:
        parts = rel.split("/")[:-1]
        for count in range(1, len(parts) + 1):
            above = "/".join(parts[:count])
            if above in skipped:
                self._put(prefix + above, skipped.pop(above))

    def with_parents(self, item: Taken, goal: str, keep: "Keep | None") -> None:
        """`a/b/c` to `goal/a/b/c`; the directories on the way look as they do in the source."""
        from builder.parents import keeper, wanted, way_to

        if not wanted(self._files, item, keep):
            return
        self._target.make_directories(goal, owner=self._dressing.owner)
        prefix = f"{goal}/" if goal else ""
        for way, node in way_to(self._files, item):
            self._put(prefix + way, node)
        if item.kept:
            self._put(prefix + item.kept, item.node)
        if item.node.is_directory:
            self.directory(item.node, (prefix + item.kept).rstrip("/"), keeper(keep, item.kept))

    def _put(self, path: str, node: Node) -> None:
        target, kind = self._target, node.kind
        owner, mode = self._dressing.owner_of(self._files, node), self._dressing.mode_of(node)
        if self._earlier is not None and kind != SOCKET:
            node = self._files.known(node) if kind == REGULAR else node
            if self._earlier.has(path, node, mode, owner):
                return
        if kind == DIRECTORY:
            existing = target.kind(path)
            if not existing:
                target.make_directory(path, mode, owner, node.stat[2], node.xattrs)
            elif existing == DIRECTORY:
                target.dress(path, mode, owner, node.stat[2], node.xattrs)
            else:
                raise BuildError(f"`/{path}` is no directory, so a directory cannot be copied to it")
        elif kind == REGULAR:
            self._put_regular(path, node, mode, owner)
        elif kind == SYMLINK:
            self._forget(path)
            fd, name = target.prepare_file(path, kind, node.link)
            os.symlink(node.link, name, dir_fd=fd)
            target.give_special(path, owner)
            os.utime(name, ns=(node.stat[2], node.stat[2]), dir_fd=fd, follow_symlinks=False)
        elif kind != SOCKET:                             # a socket without its process is nothing
            self._forget(path)
            fd, name = target.prepare_file(path, kind)
            if target.marked and kind != FIFO:
                _stand_in(fd, name, kind, node.stat[8], owner)
            else:
                os.mknod(name, kind | 0o600, node.stat[8] if kind != FIFO else 0, dir_fd=fd)
                target.give_special(path, owner)
            os.chmod(name, mode, dir_fd=fd)
            os.utime(name, ns=(node.stat[2], node.stat[2]), dir_fd=fd)

    def _put_regular(self, path: str, node: Node, mode: int, owner: tuple[int, int], group: "tuple[int, int] | None" = None) -> None:
        self._forget(path)
        self._target.prepare_file(path, REGULAR)
        job = _Job(path, node, mode, owner, group or (self.source, node.stat[4]))
        if node.stat[7] > 1 and self._first.setdefault(job.group, path) != path:
            self._links[path] = job
        else:
            self._jobs[path] = job

    def _forget(self, path: str) -> None:
        """A later source takes the place of an earlier one; names that were to be links to it get a first name of their own."""
        self._links.pop(path, None)
        job = self._jobs.pop(path, None)
        if job is not None and self._first.get(job.group) == path:
            del self._first[job.group]
            for other in list(self._links.values()):
                if other.group == job.group:
                    del self._links[other.path]
                    self._put_regular(other.path, other.node, other.mode, other.owner, other.group)

    def finish(self) -> dict[str, bytes]:
        """Copy the regular files; their sha256 by path."""
        groups: dict[str, list[_Job]] = {}
        for job in self._jobs.values():
            groups.setdefault(job.path.rpartition("/")[0], []).append(job)
        if sum(j.node.stat[1] for j in self._jobs.values()) > _FORK_BYTES or len(self._jobs) > _FORK_FILES:
            digests = self._forked(groups)
        else:
            digests = self._copy_groups(list(groups.values()))
        for path, job in self._links.items():
            first = self._first[job.group]
            fd, name = self._target.place(first)
            kept = os.dup(fd)                            # `place` may let go of it when asked again
            try:
                to_fd, to_name = self._target.place(path)
                os.link(name, to_name, src_dir_fd=kept, dst_dir_fd=to_fd, follow_symlinks=False)
            finally:
                os.close(kept)
            digests[path] = digests[first]
        return digests

    def _forked(self, groups: "dict[str, list[_Job]]") -> dict[str, bytes]:
        """Two processes: per-file work holds the interpreter lock, so threads would not help. Directories are dealt by size."""
        ordered = sorted(groups.values(), key=lambda jobs: sum(j.node.stat[1] for j in jobs), reverse=True)
        read, write = os.pipe2(os.O_CLOEXEC)
        pid = os.fork()
        if not pid:
            status = 1
            try:
                os.close(read)
                with open(write, "wb") as out:
                    try:
                        out.write(dumps(self._copy_groups(ordered[1::2]), 4))
                    except (BuildError, OSError) as error:
                        out.write(dumps(str(error), 4))
                status = 0
            finally:
                os._exit(status)
        os.close(write)
        try:
            digests = self._copy_groups(ordered[0::2])
        finally:
            with open(read, "rb") as answer:
                data = answer.read()
            _, status = os.waitpid(pid, 0)
        if status:
            raise BuildError("a copying process was killed")
        others = loads(data)
        if isinstance(others, str):
            raise BuildError(others)
        digests.update(others)
        return digests

    def _copy_groups(self, groups: "list[list[_Job]]") -> dict[str, bytes]:
        buffer = bytearray(_BUFFER)
        return {job.path: self._copy_file(job, buffer) for jobs in groups for job in jobs}

    def _copy_file(self, job: _Job, buffer: bytearray) -> bytes:
        node = self._files.known(job.node)
        directory, name = self._target.place(job.path)
        source = self._files.open(node)
        try:
            made = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600, dir_fd=directory)
            try:
                _pour(source, made, node.stat[1], buffer)
                now = os.fstat(source)
                if not self._files.lasts and (now.st_size, now.st_mtime_ns, now.st_ino) != (node.stat[1], node.stat[2], node.stat[4]):
                    raise BuildError(f"`{node.path}` changed while it was copied", help="build again when nothing writes to the context any more")
                for key, value in node.xattrs:
                    os.setxattr(made, key, value)
                self._target.give(made, job.owner)
                os.fchmod(made, job.mode)                # after chown, which clears setuid
                _set_capability(made, node)
                os.utime(made, ns=(node.stat[2], node.stat[2]))
            finally:
                os.close(made)
        finally:
            os.close(source)
        return node.digest


def _stand_in(dir_fd: int, name: str, kind: int, number: int, owner: tuple[int, int]) -> None:
    """An empty file that says in its mark which device it is: where none can be made."""
    fd = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600, dir_fd=dir_fd)
    try:
        give_marked(fd, *owner, marked=True, device=f":{'c' if kind == CHARACTER else 'b'}:{os.major(number)}:{os.minor(number)}")
    finally:
        os.close(fd)


def _set_capability(fd: int, node: Node) -> None:
    """chown drops file capabilities, so they are given last."""
    for key, value in node.xattrs:
        if key == "security.capability":
            os.setxattr(fd, key, value)


def _pour(source: int, to: int, size: int, buffer: bytearray) -> None:
    """Bytes of `source` to `to`; holes stay holes where a file is large enough to have some."""
    view = memoryview(buffer)
    if size <= len(buffer):
        while count := os.readv(source, [buffer]):
            os.write(to, view[:count])                   # a regular file takes all of it, or the disk is full, which raises
        return
    at = 0
    while at < size:
        try:
            start = os.lseek(source, at, os.SEEK_DATA)
        except OSError:                                  # ENXIO: nothing but a hole is left
            break
        end = os.lseek(source, start, os.SEEK_HOLE)
        os.lseek(source, start, os.SEEK_SET)
        os.lseek(to, start, os.SEEK_SET)
        while start < end:
            count = os.readv(source, [view[:min(end - start, len(buffer))]])
            if not count:
                break
            written = 0
            while written < count:
                written += os.write(to, view[written:count])
            start += count
        at = end
    os.ftruncate(to, size)
