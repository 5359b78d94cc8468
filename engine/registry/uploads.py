"""Uploads that are going on: sessions, each with a file under the store's tmp/. In: pieces of a blob; out: the blob, in the store and in the ledger.

A session lives as long as the server. What a kill leaves is a file under the name of a lease that nobody holds any more: the next collection
removes it, and the client, told that its upload is unknown, begins again. A client whose connection broke may go on before the server has
noticed: whoever writes last has the session, the one before is cut off.
"""

import os
import secrets
import time
from threading import Lock

from engine.errors import ClientGone
from engine.registry.errors import RegistryError
from engine.registry.ledger import Ledger
from store.blobs import BlobWriter
from store.digest import Digest, digest_of
from store.errors import DigestMismatch, StoreError
from store.root import Root
from store.store import Store

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import TracebackType

SESSIONS = 4096                                        # at once; more are told to come back later
IDLE_S = 3600                                          # a session that nobody writes to for this long is given up


class Place:
    """Where blobs are put, under a lease of their own: it ends when the ledger keeps them, so that a server that runs for months holds nothing."""

    def __init__(self, root: Root) -> None:
        self._root = root

    def leased(self) -> Store:
        """The store, with a lease of its own: close it when the ledger keeps what was put."""
        return Store(self._root)

    def put(self, data: bytes) -> Store:
        """Store `data` so that it survives a power cut; what is returned keeps it until it is closed."""
        store = self.leased()
        digest = digest_of(data)
        try:
            store.blobs.hold(digest)
            if store.blobs.size(digest) != len(data):
                with store.blobs.writer() as writer:
                    writer.write(data)
                    os.fdatasync(writer.fd)
                    writer.commit(digest)
            fd = os.open(f"{store.blobs.directory}/sha256", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                os.fsync(fd)                           # the names, of this blob and of all before it
            finally:
                os.close(fd)
        except BaseException:
            store.close()
            raise
        return store


class Upload:
    """One session. Its file is made when the first byte comes."""

    def __init__(self, place: Place, repository: str) -> None:
        self.id = secrets.token_hex(16)
        self.repository = repository
        self.used = time.monotonic()
        self._place = place
        self._lock = Lock()
        self._turn = 0
        self._writer: "BlobWriter | None" = None
        self._store: "Store | None" = None
        self._over = False

    @property
    def is_over(self) -> bool:
        return self._over

    @property
    def offset(self) -> int:
        """Bytes that have come so far."""
        return self._writer.size if self._writer else 0

    def take(self) -> "Turn":
        """Take the session over from whoever has it. Raises BLOB_UPLOAD_UNKNOWN if it has just ended."""
        with self._lock:
            if self._over:
                raise unknown(self.id)
            self._turn += 1
            return Turn(self, self._turn)

    def end(self) -> None:
        """Throw away what has come. Idempotent."""
        with self._lock:
            self._end()

    def _end(self) -> None:
        self._over = True
        if self._writer:
            self._writer.__exit__(None, None, None)
            self._writer = None
        if self._store:
            self._store.close()
            self._store = None

    # ------------------------------------------------------------ for Turn, which holds the lock
    def write(self, piece: "bytes | memoryview") -> None:
        if self._writer is None:
            self._store = self._place.leased()
            self._writer = self._store.blobs.writer()
        try:
            self._writer.write(piece)
        except StoreError:                             # the disk is full: how much of it was written nobody knows
            self._end()
            raise
        self.used = time.monotonic()

    def commit(self, want: Digest, ledger: Ledger) -> int:
        """Give the blob its name and let the ledger keep it; its size. The session is over, whether that works or not."""
        try:
            self.write(b"")
            assert self._writer is not None
            os.fdatasync(self._writer.fd)
            size = self._writer.size
            self._writer.commit(want)
            ledger.add_blob(self.repository, want, size)
            return size
        except DigestMismatch as error:
            raise RegistryError("DIGEST_INVALID", f"the content is `{error.got}`", want) from error
        finally:
            self._end()

    def is_mine(self, turn: int) -> bool:
        return turn == self._turn and not self._over

    @property
    def lock(self) -> Lock:
        return self._lock


class Turn:
    """The right to write to a session, until somebody else takes it."""

    def __init__(self, upload: Upload, number: int) -> None:
        self._upload, self._number = upload, number

    def write(self, piece: "bytes | memoryview") -> None:
        """Raises ClientGone when the session was taken over: this connection is the one that the client has given up."""
        with self._upload.lock:
            self._check()
            self._upload.write(piece)

    def commit(self, want: Digest, ledger: Ledger) -> int:
        with self._upload.lock:
            self._check()
            return self._upload.commit(want, ledger)

    def _check(self) -> None:
        if not self._upload.is_mine(self._number):
            raise ClientGone


class Uploads:
    """The sessions of one server."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self._lock = Lock()
        self._sessions: "dict[str, Upload]" = {}

    def __len__(self) -> int:
        return len(self._sessions)

    def begin(self, repository: str) -> Upload:
        """Raises TOOMANYREQUESTS."""
        upload = Upload(self._place, repository)
        with self._lock:
            full = len(self._sessions) >= SESSIONS
            if not full:
                self._sessions[upload.id] = upload
        if full:
            raise RegistryError("TOOMANYREQUESTS", f"{SESSIONS} uploads are going on already", headers=(("Retry-After", "60"),))
        return upload

    def find(self, repository: str, id: str) -> Upload:
        """Raises BLOB_UPLOAD_UNKNOWN."""
        upload = self._sessions.get(id)
        if upload is None or upload.repository != repository:
            raise unknown(id)
        if upload.is_over:
            self.forget(upload)
            raise unknown(id)
        return upload

    def forget(self, upload: Upload) -> None:
        """The session is over."""
        upload.end()
        with self._lock:
            self._sessions.pop(upload.id, None)

    def expire(self, idle_s: float = IDLE_S) -> int:
        """Give up those that nobody writes to any more; how many."""
        limit = time.monotonic() - idle_s
        stale = [upload for upload in list(self._sessions.values()) if upload.used < limit]
        for upload in stale:
            self.forget(upload)
        return len(stale)

    def close(self) -> None:
        for upload in list(self._sessions.values()):
            self.forget(upload)

    def __enter__(self) -> "Uploads":
        return self

    def __exit__(self, kind: "type[BaseException] | None", error: "BaseException | None", trace: "TracebackType | None") -> None:
        self.close()


def unknown(id: str) -> RegistryError:
    return RegistryError("BLOB_UPLOAD_UNKNOWN", "there is no such upload here", id[:100])
