"""What was fetched of a repository before: its objects, bare, one directory for each address, so that the next commit is a small fetch.

Trees are made from a mirror and do not need it afterwards; losing one costs a longer fetch. One build at a time uses a mirror (flock).
<root>/git/<hash>/ is the repository, <hash>.lock its lock. A mirror that a killed process left half-written has the file `unfinished`.
"""

import os
import time

from builder.remote.errors import GitFailed
from builder.remote.git import REMOTE
from builder.remote.revision import Revision
from kernel.locks import Lock
from kernel.paths import DIRECTORY, remove_tree
from store.digest import digest_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from builder.remote.git import Git

_FETCHED = "refs/pybuild/fetched"
_KEPT_S = 14 * 86400.0                                   # a mirror that is not used for so long goes when another one comes
_PACKS = 50                                              # a mirror of more pieces is begun anew
# what servers say that give no single commit, or no shallow history: then more has to be fetched
NOT_SO = ("not our ref", "unadvertised object", "couldn't find remote ref", "could not find remote ref", "shallow", "no such remote ref",
          "did not send all necessary objects", "does not support")


class Mirror:
    """The mirror of one remote, in a `with`."""

    def __init__(self, root: str, git: "Git", remote: str, object_format: str) -> None:
        """root: the directory of all mirrors. object_format: "sha1" or "sha256"."""
        self._root, self._git, self._format = root, git, object_format
        self._name = digest_of(f"{object_format} {remote}".encode()).removeprefix("sha256:")[:40]
        self.directory = f"{root}/{self._name}"
        self._lock = Lock(f"{self.directory}.lock")
        self._mark = f"{self.directory}/unfinished"
        self._fetched = False

    def __enter__(self) -> "Mirror":
        os.makedirs(self._root, 0o700, exist_ok=True)
        self._lock.take()
        try:
            if not self._usable():
                self._begin()
            os.utime(self.directory)
        except BaseException:
            self._lock.release()
            raise
        return self

    def _begin(self) -> None:
        _remove(self._root, self._name)
        prune(self._root, _KEPT_S)
        os.mkdir(self.directory, 0o700)
        self._distrust()                                 # until it is whole
        self._run("init", "--quiet", "--bare", f"--object-format={self._format}")
        os.unlink(self._mark)

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        if self._fetched and isinstance(error, GitFailed):
            self._distrust()                             # it said that it has the commit, and then it was of no use
        self._lock.release()

    def _distrust(self) -> None:
        with open(self._mark, "w"):
            pass

    def _usable(self) -> bool:
        try:
            packs = os.listdir(f"{self.directory}/objects/pack")
        except FileNotFoundError:
            return False
        return not os.path.exists(self._mark) and len(packs) < 2 * _PACKS

    def _run(self, *words: str, steady: bool = False) -> str:
        return self._git.run("--git-dir=.", *words, cwd=self.directory, steady=steady)

    # ------------------------------------------------------------ fetching
    def fetch(self, revision: Revision) -> Revision:
        """Have the commit: it alone; if the server does not give single commits, what its ref leads to; else everything.

        Returns what is here now: a branch may have moved meanwhile. Raises GitFailed.
        """
        self._distrust()                                 # should this process be killed meanwhile
        fd = os.open(self.directory, DIRECTORY)
        try:
            found = self._fetch(revision)
            for name in ("packed-refs", "refs/pybuild"):         # at once: after a fetch of everything there may be very many
                remove_tree(fd, name)
            self._run("update-ref", _FETCHED, found.commit)
        finally:
            os.close(fd)
            os.unlink(self._mark)
        self._fetched = True
        return found

    def _fetch(self, revision: Revision) -> Revision:
        ways = [("--depth=1", f"+{revision.commit}:{_FETCHED}"), *([("--depth=1", f"+{revision.ref}:{_FETCHED}")] if revision.ref else []),
                ("+refs/heads/*:refs/pybuild/heads/*", "+refs/tags/*:refs/pybuild/tags/*")]
        for way in ways:
            try:
                self._get(*way)
            except GitFailed as error:
                if way is ways[-1] or not any(t in error.reason.lower() for t in NOT_SO):
                    raise
                continue
            found = self._found(revision, everything=way is ways[-1])
            if found is not None:
                return found
        raise GitFailed(self._git.shown, f"it has no commit {revision.commit}")

    def _get(self, *words: str) -> None:
        options = [word for word in words if word.startswith("-")]
        refs = [word for word in words if not word.startswith("-")]
        self._run("fetch", "--quiet", "--no-tags", "--no-recurse-submodules", "--no-write-fetch-head", *options, "--", REMOTE, *refs, steady=True)

    def _found(self, revision: Revision, everything: bool) -> Revision | None:
        """What is here now; None if it is not what was asked for."""
        for name in (revision.commit, *([] if everything else [_FETCHED])):
            try:
                commit = self._run("rev-parse", "--quiet", "--verify", "--end-of-options", f"{name}^{{commit}}").strip()
            except GitFailed:
                continue
            return revision if name == revision.commit else Revision(commit, revision.ref)
        return None

    def fetch_tag(self, revision: Revision) -> None:
        """Have the annotated tag itself too."""
        try:
            self._get("--depth=1", f"+{revision.ref}:{_FETCHED}")
        except GitFailed as error:
            if not any(t in error.reason.lower() for t in NOT_SO):
                raise
            self._get(f"+{revision.ref}:{_FETCHED}")

    # ------------------------------------------------------------ lending
    def lend(self, repository: str) -> None:
        """Let a new repository (its .git directory) have the objects that are here, as long as this is held."""
        with open(f"{repository}/objects/info/alternates", "w") as file:
            file.write(f"{self.directory}/objects\n")
        try:
            with open(f"{self.directory}/shallow", "rb") as file:
                shallow = file.read()
        except FileNotFoundError:
            return
        with open(f"{repository}/shallow", "wb") as copy:
            copy.write(shallow)


def prune(root: str, unused_s: float) -> int:
    """Remove the mirrors that nobody used for so many seconds, and uses now; how many went."""
    removed = 0
    for name in os.listdir(root) if os.path.isdir(root) else ():
        if name.endswith(".lock") or time.time() - os.stat(f"{root}/{name}").st_mtime < unused_s:
            continue
        lock = Lock(f"{root}/{name}.lock")
        if lock.take(wait=False):
            _remove(root, name)
            lock.release(remove=True)
            removed += 1
    return removed


def _remove(root: str, name: str) -> None:
    fd = os.open(root, DIRECTORY)
    try:
        remove_tree(fd, name)
    finally:
        os.close(fd)
