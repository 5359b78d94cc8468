"""SourceHttp -> a fetched tree: asked for anew at every build, but not transferred if the server says that it is as it was.

With a sha256 checksum that is known here nobody is asked at all. What a tree is found by: the body's sha256, the file's name and time.
"""

import os

from builder.remote.address import parse_address, shown
from builder.remote.archive import is_archive, unpack
from builder.remote.body import Body
from builder.remote.errors import ChecksumMismatch, DownloadFailed
from builder.remote.kept import Alone, Drafting, Fetched, find, keep, name, note, seen
from kernel.value import Value
from store.blobs import chunks_of
from store.digest import Digest, from_raw

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from builder.graph import SourceHttp
    from builder.remote.access import Access
    from builder.remote.transfer import Limits
    from store.cache import CacheRecord
    from store.snapshots import Draft
    from store.store import Store


class Seen(Value):
    """What an address gave when it was last asked. etag, last_modified: as in transfer.Known; modified: seconds, 0 if it was not said."""

    sha256: Digest
    modified: int
    etag: str = ""
    last_modified: str = ""


def pinned_download(store: "Store", op: "SourceHttp") -> "CacheRecord | None":
    """The tree of a download whose checksum says all, if it is here: no server has to be asked."""
    found = seen(store, name("pin", op.checksum)) if op.checksum else None
    return find(store, _tree(op, Seen(*found))) if found else None


def download(store: "Store", op: "SourceHttp", access: "Access", say: "Callable[[str], None]", limits: "Limits | None" = None) -> Fetched:
    """Raises RemoteError, StoreError. say: told of progress."""
    with Alone(store, name("url", op.url), lambda: say("waits for another build that downloads the same")):
        pinned = pinned_download(store, op)
        if pinned is not None:
            return Fetched(pinned, "its checksum is known")
        return _Download(store, op, access, say, limits).fetch()


def _tree(op: "SourceHttp", found: Seen) -> Digest:
    return name("download", found.sha256, op.name, found.modified, op.unpack)


class _Download:
    def __init__(self, store: "Store", op: "SourceHttp", access: "Access", say: "Callable[[str], None]", limits: "Limits | None") -> None:
        from builder.remote.transfer import LIMITS, Http

        self._store, self._op = store, op
        self._address = parse_address(op.url)
        self._authorization = access.authorization(self._address)
        self._http = Http(access.environment, limits or LIMITS, say)

    def fetch(self) -> Fetched:
        before, record = self._before()
        try:
            with Drafting(self._store) as draft:
                return self._fill(draft, before, record)
        except DownloadFailed as error:
            if before is not None and not error.status and not error.help and not self._op.unpack:
                error.help = f"`--checksum={before.sha256}` would use what was downloaded earlier, without asking"
            raise
        finally:
            self._http.close()

    def _before(self) -> "tuple[Seen | None, CacheRecord | None]":
        """What the address gave earlier, and the tree made of it if that is here and would do."""
        found = seen(self._store, name("url", self._op.url))
        if not found:
            return None, None
        before = Seen(*found)
        # with a checksum only a body that is seen to match will do: the answer "as it was" would not tell
        return before, find(self._store, _tree(self._op, before)) if not self._op.checksum else None

    def _fill(self, draft: "Draft", before: Seen | None, record: "CacheRecord | None") -> Fetched:
        from builder.remote.transfer import NOT_MODIFIED, NOTHING, Known

        store, op = self._store, self._op
        known = Known(before.etag, before.last_modified) if before is not None and record is not None else NOTHING
        body = Body(f"{draft.directory}/{op.name}", op.checksum.partition(":")[0] or "sha256")
        try:
            answer = self._http.download(self._address, body, authorization=self._authorization, known=known)
            if answer.status == NOT_MODIFIED:
                assert record is not None
                return Fetched(record, "not modified")
            if op.checksum and body.checksum != op.checksum:
                raise ChecksumMismatch(shown(op.url), op.checksum, body.checksum)
            now = Seen(from_raw(body.sha256), answer.last_modified, *answer.known)
            made = find(store, _tree(op, now)) or self._keep(draft, body, now)
        finally:
            body.close()
        # last: what is noted leads to what is there
        note(store, name("url", op.url), tuple(now))
        note(store, name("pin", body.checksum), tuple(now))
        note(store, name("pin", now.sha256), tuple(now))
        return Fetched(made)

    def _keep(self, draft: "Draft", body: Body, now: Seen) -> "CacheRecord":
        store, op = self._store, self._op
        if op.unpack:
            os.lseek(body.fd, 0, os.SEEK_SET)
            if is_archive(chunks_of(body.fd)):
                os.unlink(f"{draft.directory}/{op.name}")
                os.lseek(body.fd, 0, os.SEEK_SET)
                applied = unpack(store, chunks_of(body.fd), draft, f"`{shown(op.url)}`")
                return keep(store, _tree(op, now), draft, now.modified, tree=applied.tree)
        os.fchmod(body.fd, 0o600)
        os.utime(body.fd, (now.modified, now.modified))
        os.utime(draft.directory, (now.modified, now.modified))
        return keep(store, _tree(op, now), draft, now.modified, known={os.fstat(body.fd).st_ino: body.sha256})
