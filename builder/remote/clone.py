"""SourceGit -> a fetched tree, found by the commit: a ref is looked up at every build, a commit that is here is not fetched again."""

import os

from builder.remote.checkout import check_out, lift, object_format, settle
from builder.remote.git import Git
from builder.remote.kept import Alone, Drafting, Fetched, find, keep, name
from builder.remote.mirror import Mirror
from builder.remote.revision import Revision, check, find_revision, pinned
from store.digest import Digest
from store.tree import OPEN_DIRECTORY

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from builder.graph import SourceGit
    from builder.remote.access import Access
    from store.cache import CacheRecord
    from store.store import Store


def pinned_clone(store: "Store", op: "SourceGit") -> "CacheRecord | None":
    """The tree of a source that names its commit in full, if it is here: no server has to be asked."""
    commit = pinned(op)
    return find(store, _tree(op, commit)) if commit else None


def clone(store: "Store", op: "SourceGit", access: "Access", say: "Callable[[str], None]") -> Fetched:
    """Raises RemoteError, StoreError. say: told of progress."""
    record = pinned_clone(store, op)
    if record is not None:
        return Fetched(record, "its commit is known")
    git = Git(op.remote, access, store.temporary.directory, say)
    revision = find_revision(git, op)
    key = _tree(op, revision.commit)
    record = find(store, key)
    if record is not None:
        return Fetched(record, f"commit {revision.commit[:12]} is known")
    with Alone(store, key, lambda: say("waits for another build that fetches the same")):
        record = find(store, key)
        return Fetched(record, "fetched by another build") if record is not None else Fetched(_fetch(store, op, git, revision))


def _tree(op: "SourceGit", commit: str) -> Digest:
    """What decides the files. The remote only does where `.git` stays: a commit is the same wherever it is found."""
    kept = (op.remote, op.ref) if op.keep_git_dir else ()
    return name("git", commit, op.subdirectory, op.submodules, op.mtime, *kept)


def _fetch(store: "Store", op: "SourceGit", git: Git, revision: Revision) -> "CacheRecord":
    with Drafting(store) as draft:
        work = f"{draft.path}/checkout" if op.subdirectory else draft.directory
        if op.subdirectory:
            os.mkdir(work, 0o755)
        with Mirror(f"{store.root.path}/git", git, op.remote, object_format(revision.commit)) as mirror:
            fetched = mirror.fetch(revision)             # a branch may have moved since it was looked up
            check(git, op, fetched)
            moment = check_out(git, op, fetched, mirror, work)
        if op.subdirectory:
            lift(work, op.subdirectory, draft.directory)
            store.temporary.remove(f"{draft.id}/checkout")
        fd = os.open(draft.directory, OPEN_DIRECTORY)
        try:
            settle(fd, moment if op.mtime == "commit" else None, op.keep_git_dir and not op.subdirectory)
        finally:
            os.close(fd)
        return keep(store, _tree(op, fetched.commit), draft, moment)
