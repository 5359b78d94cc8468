"""A commit -> its files in a directory: fetched without history, checked out as root's, 0644 and 0755, links as links.

What enters: a Revision and an empty directory. What leaves: files, and when the commit was made. The repository lies in `.git` of the
directory while it is needed, so that submodules find it; nothing in a commit can be called `.git`.
"""

import os

from builder.remote.errors import DirectoryMissing, GitFailed
from builder.remote.git import REMOTE
from builder.remote.revision import Revision
from kernel.paths import open_beneath, remove_tree
from store.tree import OPEN_DIRECTORY, open_below

TYPE_CHECKING = False
if TYPE_CHECKING:
    from builder.graph import SourceGit
    from builder.remote.git import Git

_FETCHED = "refs/pybuild/fetched"
_LAST_MOMENT = 253402300799                              # of the year 9999
# what servers say that give no single commit, or no shallow history: then more has to be fetched
_NOT_SO = ("not our ref", "unadvertised object", "couldn't find remote ref", "could not find remote ref", "shallow", "no such remote ref",
           "did not send all necessary objects", "does not support")


def check_out(git: "Git", op: "SourceGit", revision: Revision, directory: str) -> tuple[Revision, int]:
    """Fill the empty directory; (what was really fetched: a branch may have moved meanwhile, time of the commit in seconds).

    With a subdirectory, its content lies at `open_beneath(directory, subdirectory)`, and most else is not there. Raises GitFailed, DirectoryMissing.
    """
    work = _Work(git, op, directory)
    work.begin(revision)
    revision = work.fetch(revision)
    work.write(revision)
    if op.submodules:
        work.submodules()
    moment = work.moment(revision)
    if op.keep_git_dir:
        work.tidy(revision)
    return revision, moment


class _Work:
    def __init__(self, git: "Git", op: "SourceGit", directory: str) -> None:
        self._git, self._op, self._directory = git, op, directory

    def _run(self, *words: str, steady: bool = False) -> str:
        return self._git.run(*words, cwd=self._directory, steady=steady)

    def begin(self, revision: Revision) -> None:
        kind = ["--object-format=sha256"] if len(revision.commit) == 64 else []
        self._run("init", "--quiet", "--template=", *kind)
        # a submodule's address may be relative to it; written by us, since a command line can be seen by others
        with open(f"{self._directory}/.git/config", "a") as file:
            file.write(_section(self._op.remote))

    # ------------------------------------------------------------ fetching
    def fetch(self, revision: Revision) -> Revision:
        """The commit alone; if the server does not give single commits, what its ref leads to; else everything."""
        ways = [("--depth=1", f"+{revision.commit}:{_FETCHED}")]
        if revision.ref:
            ways.append(("--depth=1", f"+{revision.ref}:{_FETCHED}"))
        ways.append(("+refs/heads/*:refs/pybuild/heads/*", "+refs/tags/*:refs/pybuild/tags/*"))
        for way in ways:
            try:
                self._fetch(*way)
            except GitFailed as error:
                if way is ways[-1] or not any(t in error.reason.lower() for t in _NOT_SO):
                    raise
                continue
            found = self._fetched(revision, way is ways[-1])
            if found is not None:
                return found
        raise GitFailed(self._git.shown, f"it has no commit {revision.commit}")

    def _fetch(self, *words: str) -> None:
        options = [word for word in words if word.startswith("-")]
        refs = [word for word in words if not word.startswith("-")]
        self._run("fetch", "--quiet", "--no-tags", "--no-recurse-submodules", *options, "--", REMOTE, *refs, steady=True)

    def _fetched(self, revision: Revision, everything: bool) -> Revision | None:
        """What is here now; None if it is not what was asked for."""
        for name in (revision.commit, *([] if everything else [_FETCHED])):
            try:
                commit = self._run("rev-parse", "--quiet", "--verify", "--end-of-options", f"{name}^{{commit}}").strip()
            except GitFailed:
                continue
            return revision if name == revision.commit else Revision(commit, revision.ref)
        return None

    # ------------------------------------------------------------ writing
    def write(self, revision: Revision) -> None:
        below = self._op.subdirectory
        if not below:
            self._run("checkout", "--quiet", "--force", "--detach", revision.commit)
            return
        try:
            kind = self._run("cat-file", "-t", f"{revision.commit}:{below}").strip()     # looked up in git's trees: through no link
        except GitFailed:
            kind = ""
        if kind != "tree":
            raise DirectoryMissing(self._git.shown, below, "is no directory" if kind else "does not exist")
        self._run("update-ref", "--no-deref", "HEAD", revision.commit)
        self._run("read-tree", "HEAD")
        self._run("--literal-pathspecs", "checkout", "--quiet", "--force", "--", below)

    def submodules(self) -> None:
        """Their files too, below the wanted directory. How one is updated is said here, not by the repository (`update = !command`)."""
        where = ["--", self._op.subdirectory] if self._op.subdirectory else []
        if not any(line.startswith("160000 ") for line in self._run("--literal-pathspecs", "ls-files", "--stage", *where).splitlines()):
            return
        words = ["--literal-pathspecs", "submodule", "--quiet", "update", "--init", "--recursive", "--checkout"]
        try:
            self._run(*words, "--depth=1", *where, steady=True)
        except GitFailed as error:
            if not any(t in error.reason.lower() for t in (*_NOT_SO, "unable to fetch", "direct fetching", "unable to find current")):
                raise
            self._run(*words, *where, steady=True)

    def moment(self, revision: Revision) -> int:
        text = self._run("log", "-1", "--format=%ct", revision.commit).strip()
        return min(max(int(text), 0), _LAST_MOMENT) if text.removeprefix("-").isdecimal() else 0

    # ------------------------------------------------------------ .git as it stays
    def tidy(self, revision: Revision) -> None:
        """What --keep-git-dir keeps: the branch or tag that was asked for, `origin` without a password, no traces of how it was fetched."""
        if revision.tag:
            self._run("fetch", "--quiet", "--no-tags", "--depth=1", "--", REMOTE, f"+{revision.ref}:{revision.ref}", steady=True)
        elif revision.ref:
            self._run("update-ref", revision.ref, revision.commit)
        for ref in self._run("for-each-ref", "--format=%(refname)", "refs/pybuild/").split():
            self._run("update-ref", "-d", ref)
        config = f"{self._directory}/.git/config"
        with open(config) as file:
            text = file.read()
        with open(config, "w") as file:
            file.write(text.replace(_section(self._op.remote), _section(self._git.shown)))
        fd = os.open(f"{self._directory}/.git", OPEN_DIRECTORY)
        try:
            for name in ("FETCH_HEAD", "ORIG_HEAD", "logs", "refs/pybuild"):
                remove_tree(fd, name)
        finally:
            os.close(fd)


def _section(remote: str) -> str:
    quoted = remote.replace("\\", "\\\\").replace('"', '\\"')
    return f'[remote "origin"]\n\turl = "{quoted}"\n\tfetch = +refs/heads/*:refs/remotes/origin/*\n'


def settle(fd: int, moment: int | None, keep_git_dir: bool) -> None:
    """Give everything below an open directory one time (None: leave it), and remove what git keeps for itself: also each submodule's `.git`."""
    directories = [""]
    for below in directories:                            # grows while it is walked: parents come before what is in them
        here = open_below(fd, below)
        try:
            for name in os.listdir(here):
                if name == ".git" and not keep_git_dir:
                    remove_tree(here, name)
                elif os.stat(name, dir_fd=here, follow_symlinks=False).st_mode & 0o170000 == 0o040000:
                    directories.append(f"{below}{name}/")
                elif moment is not None:
                    os.utime(name, (moment, moment), dir_fd=here, follow_symlinks=False)
        finally:
            os.close(here)
    if moment is None:
        return
    for below in reversed(directories):
        here = open_below(fd, below)
        try:
            os.utime(here, (moment, moment))
        finally:
            os.close(here)


def lift(directory: str, subdirectory: str, to: str) -> None:
    """Move a directory of a checkout to `to`, an empty directory of the same file system. Raises OSError for a link on the way to it."""
    top = os.open(directory, OPEN_DIRECTORY)
    try:
        above, _, name = subdirectory.rpartition("/")
        parent = open_beneath(top, above, OPEN_DIRECTORY)
        try:
            os.close(open_beneath(parent, name, OPEN_DIRECTORY))
            os.rename(name, to, src_dir_fd=parent)
        finally:
            os.close(parent)
    finally:
        os.close(top)
