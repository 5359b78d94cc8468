"""A source vertex of the graph -> its files in the store. The door of this package for whoever plans and runs steps."""

from builder.graph import SourceGit, SourceHttp

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeGuard

    from builder.graph import Op
    from builder.remote.access import Access
    from builder.remote.kept import Fetched
    from builder.request import Secret
    from store.cache import CacheRecord
    from store.store import Store


def is_remote(op: "Op") -> "TypeGuard[SourceHttp | SourceGit]":
    """Whether the vertex has to be fetched, or at least asked for, when the build runs."""
    return isinstance(op, SourceHttp | SourceGit)


def fetch(store: "Store", op: "SourceHttp | SourceGit", access: "Access", say: "Callable[[str], None]") -> "Fetched":
    """Fetch it, or find that what is here is still true. Raises RemoteError, StoreError."""
    if isinstance(op, SourceHttp):
        from builder.remote.download import download

        return download(store, op, access, say)
    from builder.remote.clone import clone

    return clone(store, op, access, say)


def pinned(store: "Store", op: "SourceHttp | SourceGit") -> "CacheRecord | None":
    """The files of a source that says itself, in full, what they are (a checksum, a commit), if they are here."""
    if isinstance(op, SourceHttp):
        from builder.remote.download import pinned_download

        return pinned_download(store, op)
    from builder.remote.clone import pinned_clone

    return pinned_clone(store, op)


def is_pinned(op: "SourceHttp | SourceGit") -> bool:
    """Whether it is the same for ever: a later build need not ask."""
    if isinstance(op, SourceHttp):
        return bool(op.checksum)
    from builder.remote.revision import pinned as commit

    return bool(commit(op))


def access(store: "Store", secrets: "tuple[Secret, ...]", ssh: "tuple[tuple[str, str], ...]") -> "Access":
    """What a build may use to get at things, from its request."""
    from builder.remote.access import Access

    return Access(secrets, ssh, f"{store.root.path}/known_hosts")


def title(op: "SourceHttp | SourceGit") -> str:
    """What it fetches, for people."""
    from builder.remote.address import shown

    if isinstance(op, SourceHttp):
        return shown(op.url)
    ends = f"#{op.ref}{f':{op.subdirectory}' if op.subdirectory else ''}" if op.ref or op.subdirectory else ""
    return f"{shown(op.remote)}{ends}"
