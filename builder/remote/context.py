"""The build context, where it is no directory: a tar or a Dockerfile on stdin, a git repository, an http(s) URL of either.

What enters: the word of the command line. What leaves: a Context: the Dockerfile's bytes, and the tree that COPY takes from. No ignore file
applies to it. This comes before everything else: without the Dockerfile there is no request yet.
"""

import os

from builder.errors import BuildError, DockerfileMissing
from builder.remote.errors import NotAContext
from builder.request import Tree
from kernel.value import Value
from store.digest import Digest
from store.snapshots import SnapshotId

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from builder.remote.access import Access
    from builder.remote.kept import Fetched
    from store.cache import CacheRecord
    from store.store import Store

NAMES = ("Dockerfile", "dockerfile", "Containerfile")
_TEXT_MAX = 16 << 20                                     # bytes of a Dockerfile
_HEAD = 2 << 20                                          # bytes by which an archive is recognised


class RemoteContext(Value):
    """dockerfile: its path; tree: what COPY takes from, None where there is nothing but a Dockerfile; why: why nothing was fetched, or ""."""

    dockerfile: str
    text: bytes
    tree: Tree | None = None
    why: str = ""


def kind_of(word: str) -> str:
    """"stdin", "git", "http", or "" for a directory. A directory of that name comes first, as with docker. Raises NotAContext."""
    if word == "-":
        return "stdin"
    if not ("://" in word or "@" in word or word.startswith("github.com/")) or os.path.isdir(word):
        return ""
    from builder.remote.named import is_git

    if is_git(word) or word.startswith(("http://", "https://")):
        return "git" if is_git(word) else "http"
    if "://" in word:
        raise NotAContext(f"`{word}`", "is no build context: those come by http, https, ssh and git")
    return ""


def open_context(store: "Store", word: str, file: str, access: "Access", *, text: bytes | None = None, keep_git_dir: bool = False,
                 say: "Callable[[str], None]" = lambda text: None) -> RemoteContext:
    """The context that a word names which `kind_of` knows.

    file: the Dockerfile's path in it, "" for the usual names. text: its bytes, if they come from elsewhere.
    Raises RemoteError, DockerfileMissing, StoreError. Stdin is read to its end.
    """
    kind = kind_of(word)
    if kind == "stdin":
        return _on_stdin(store, file, text)
    from builder.remote.address import shown
    from builder.remote.fetch import fetch

    if kind == "git":
        from builder.remote.named import git_source
        from lang.gitref import parse_git_ref

        try:
            ref = parse_git_ref(word)
        except ValueError as error:
            raise NotAContext(f"`{shown(word)}`", f"is no git repository: {error}") from error
        assert ref is not None
        fetched = fetch(store, git_source(ref, keep_git_dir=keep_git_dir), access, say)
    else:
        from builder.remote.named import http_source

        fetched = fetch(store, http_source(word, NAMES[0]), access, say)
    return _with_dockerfile(store, shown(word), fetched, file, text)


def _with_dockerfile(store: "Store", name: str, fetched: "Fetched", file: str, text: bytes | None) -> RemoteContext:
    from builder.remote.kept import moment_of

    record = fetched.record
    if text is None:
        file, text = _read(store, record, name, (file,) if file else NAMES)
    return RemoteContext(file or NAMES[0], text, Tree(name, record.tree, record.snapshot, moment_of(record)), fetched.why)


def read_url(store: "Store", url: str, access: "Access", say: "Callable[[str], None]" = lambda text: None) -> bytes:
    """The Dockerfile behind a URL. Raises RemoteError, StoreError."""
    from builder.graph import SourceHttp
    from builder.remote.address import shown
    from builder.remote.fetch import fetch

    return _read(store, fetch(store, SourceHttp(url, NAMES[0]), access, say).record, shown(url), NAMES[:1])[1]


def _read(store: "Store", record: "CacheRecord", name: str, files: tuple[str, ...]) -> tuple[str, bytes]:
    """(path, bytes) of the first of `files` that the tree has; links are followed in it."""
    from store.images import Layer
    from store.tree import REGULAR
    from store.view import NotInView

    with store.view((Layer(Digest(""), record.tree, SnapshotId(record.snapshot)),)) as view:
        for file in files:
            try:
                entry = view.lookup(file)
                if entry is not None and entry.kind == REGULAR:
                    return file, view.read(file, _TEXT_MAX)
            except NotInView as error:
                raise BuildError(f"the Dockerfile `{file}` of `{name}` cannot be read: {error}") from error
    raise DockerfileMissing(files[0], f"looked for it in `{name}`; name another with `-f FILE`")


# ---------------------------------------------------------------- stdin
def _on_stdin(store: "Store", file: str, text: bytes | None) -> RemoteContext:
    from builder.remote.archive import is_archive, unpack
    from builder.remote.kept import Drafting, Fetched, find, keep
    from builder.remote.kept import name as key_of
    from store.tree import DIRECTORY, FORMAT, MODE, MTIME

    what = "the context on stdin"
    head = _take(0, _HEAD)
    if not is_archive([head]):
        return RemoteContext(NAMES[0], _dockerfile(head))
    with Drafting(store) as draft:
        applied = unpack(store, _all(head, 0), draft, what)
        key = key_of("tar", applied.diff_id)
        record = find(store, key)
        why = "" if record is None else "the same as before"
        if record is None:
            assert applied.tree is not None
            # of the files: directories that the tar only implies are as old as the unpacking
            times = (row[1][MTIME] for rows in applied.tree.values() for row in rows if row[1][MODE] & FORMAT != DIRECTORY)
            record = keep(store, key, draft, max(times, default=0) // 10**9, tree=applied.tree)
    return _with_dockerfile(store, what, Fetched(record, why), file, text)


def _dockerfile(head: bytes) -> bytes:
    """The rest of a Dockerfile, whole."""
    from store.compression import detect

    if b"\0" in head or detect(head[:6]) != "uncompressed":
        raise NotAContext("what came on stdin", "is neither a Dockerfile nor a tar (plain, gzip, bzip2, xz or zstd)")
    text = head + _take(0, _TEXT_MAX - len(head) + 1)
    if len(text) > _TEXT_MAX:
        raise NotAContext("the Dockerfile on stdin", f"has more than {_TEXT_MAX} bytes")
    return text


def _take(fd: int, limit: int) -> bytes:
    """At most `limit` bytes, fewer only at the end."""
    parts, left = [], limit
    while left > 0 and (data := os.read(fd, min(left, 1 << 20))):
        parts.append(data)
        left -= len(data)
    return b"".join(parts)


def _all(head: bytes, fd: int) -> "Iterator[bytes]":
    yield head
    while data := os.read(fd, 1 << 20):
        yield data
