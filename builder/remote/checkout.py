"""A commit -> its files in a directory: checked out as root's, 0644 and 0755, links as links.

What enters: a Revision that a mirror has, and an empty directory. What leaves: files, and when the commit was made. A repository lies in
`.git` of the directory while it is needed, so that submodules find it; nothing in a commit can be called `.git`.
"""

import os

from builder.remote.errors import DirectoryMissing, GitFailed
from builder.remote.mirror import NOT_SO
from kernel.paths import open_beneath, remove_tree
from store.tree import OPEN_DIRECTORY, open_below

TYPE_CHECKING = False
if TYPE_CHECKING:
    from builder.graph import SourceGit
    from builder.remote.git import Git
    from builder.remote.mirror import Mirror
    from builder.remote.revision import Revision

_LAST_MOMENT = 253402300799                              # of the year 9999


def check_out(git: "Git", op: "SourceGit", revision: "Revision", mirror: "Mirror", directory: str) -> int:
    """Fill the empty directory; when the commit was made, in seconds.

    mirror: has the commit, and is held. With a subdirectory, its content lies at `open_beneath(directory, subdirectory)`, and most else is
    not there. Raises GitFailed, DirectoryMissing.
    """
    work = _Work(git, op, mirror, directory)
    work.begin(revision)
    work.write(revision)
    if op.submodules:
        work.submodules()
    moment = work.moment(revision)
    if op.keep_git_dir:
        work.tidy(revision)
    return moment


class _Work:
    def __init__(self, git: "Git", op: "SourceGit", mirror: "Mirror", directory: str) -> None:
        self._git, self._op, self._mirror, self._directory = git, op, mirror, directory

    def _run(self, *words: str, steady: bool = False) -> str:
        return self._git.run(*words, cwd=self._directory, steady=steady)

    def begin(self, revision: "Revision") -> None:
        self._run("init", "--quiet", f"--object-format={object_format(revision.commit)}")
        os.makedirs(f"{self._directory}/.git/objects/info", exist_ok=True)
        self._mirror.lend(f"{self._directory}/.git")
        # a submodule's address may be relative to it; written by us, since a command line can be seen by others
        with open(f"{self._directory}/.git/config", "a") as file:
            file.write(_section(self._op.remote))

    # ------------------------------------------------------------ writing
    def write(self, revision: "Revision") -> None:
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
            if not any(t in error.reason.lower() for t in (*NOT_SO, "unable to fetch", "direct fetching", "unable to find current")):
                raise
            self._run(*words, *where, steady=True)

    def moment(self, revision: "Revision") -> int:
        text = self._run("log", "-1", "--format=%ct", revision.commit).strip()
        return min(max(int(text), 0), _LAST_MOMENT) if text.removeprefix("-").isdecimal() else 0

    # ------------------------------------------------------------ .git as it stays
    def tidy(self, revision: "Revision") -> None:
        """What --keep-git-dir keeps: its own objects, the branch or tag that was asked for, `origin` without a password."""
        if revision.tag:
            self._mirror.fetch_tag(revision)
        if revision.ref:
            self._run("update-ref", revision.ref, revision.tag or revision.commit)
        self._run("repack", "-a", "-d", "--quiet")
        os.unlink(f"{self._directory}/.git/objects/info/alternates")
        self._run("prune", "--expire=now")               # of `shallow`, what is of other commits
        config = f"{self._directory}/.git/config"
        with open(config) as file:
            text = file.read()
        with open(config, "w") as file:
            file.write(text.replace(_section(self._op.remote), _section(self._git.shown)))


def object_format(commit: str) -> str:
    """Of the repository that has a commit of that name."""
    return "sha256" if len(commit) == 64 else "sha1"


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
