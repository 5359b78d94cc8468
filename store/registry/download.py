"""A layer's blob on its way into the store: one thread writes what comes, another reads behind it. In: a descriptor; out: a verified blob.

What broke off is taken up where it ended, at the same registry or at its next mirror. The bytes are hashed while they come, and the blob has its
name only when they are what was promised; whoever reads behind learns at the end whether they were.
"""

from time import monotonic

from store.errors import DigestMismatch, SizeMismatch, StoreError
from store.oci import Descriptor
from store.registry.connection import Trouble
from store.registry.errors import NotInRegistry, RegistryBroken, RegistryError
from store.registry.progress import DOWNLOADING, EXTRACTING, Transfer
from store.trail import Trail

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from urllib3 import BaseHTTPResponse

    from store.blobs import BlobWriter
    from store.digest import Digest
    from store.registry.connection import Connection
    from store.registry.progress import OnProgress
    from store.registry.repository import Repository
    from store.store import Store

_STEP = 1 << 20                          # bytes between two words of progress,
_PAUSE_S = 0.2                           # or seconds, where the bytes come slowly


class Cancelled(StoreError):
    """A transfer that was given up because something else failed."""

    def __str__(self) -> str:
        return "the transfer was stopped"


class Download:
    """One blob. `run` in a thread of its own; `chunks` and `finish` by whoever wants the bytes; `cancel` by anybody."""

    def __init__(self, store: "Store", repository: "Repository", descriptor: Descriptor, on_progress: "OnProgress", *, resume: bool = False) -> None:
        """resume: go on from what an earlier download had, if one was broken off."""
        self.descriptor = descriptor
        self.begun = 0                                   # bytes that an earlier one had
        self._resume = resume
        self._store, self._repository, self._on_progress = store, repository, on_progress
        self._trail = Trail()
        self._told_bytes, self._told_at = 0, 0.0
        self._cancelled = False
        self._response: "BaseHTTPResponse | None" = None
        self._state = DOWNLOADING

    # ------------------------------------------------------------ the writing thread
    def run(self) -> None:
        """Fetch it all. What goes wrong is kept for `chunks` and `finish`."""
        try:
            self._run()
        except BaseException as error:
            self._trail.end(error)
        else:
            self._trail.end()

    def _run(self) -> None:
        store, want = self._store, self.descriptor
        with store.blobs.resumed(want.digest, want.size) if self._resume else store.blobs.writer(want.digest, want.size) as writer:
            self._trail.begin(writer.fd)
            self.begun = writer.size
            if self.begun:
                self._told(writer.size)
            self._fill(writer)
            writer.commit()

    def _fill(self, writer: "BlobWriter") -> None:
        """Write until the last byte, from whoever has it. A corrupt beginning is noticed at the end only, so there is no second try for that."""
        trouble: "Exception | None" = None
        for connection in self._repository.readers("pull"):
            attempt = 0
            while True:
                attempt += 1
                before = writer.size
                try:
                    self._stream(connection, writer)
                    return
                except Trouble as error:
                    trouble = error.error
                    if self._cancelled:
                        raise Cancelled from error
                    if writer.size > before:
                        attempt = 1                      # it moves: that much is worth the same patience again
                    if connection.gives_up(attempt, error):
                        break
                    connection.pause(attempt, error)
                except RegistryError as error:
                    trouble = error
                    break                                # the next one may have it
        assert trouble is not None
        if isinstance(trouble, NotInRegistry):
            raise NotInRegistry(trouble.registry, f"{self._repository.name}@{self.descriptor.digest}") from trouble
        raise trouble

    def _stream(self, connection: "Connection", writer: "BlobWriter") -> None:
        want = self.descriptor
        if writer.size == want.size:
            return
        response, begin = self._repository.open_blob(connection, want.digest, writer.size)
        self._response = response
        try:
            skip = writer.size - begin                   # of a registry that knows no ranges, what is here already
            for chunk in connection.chunks(response, want.size - begin):
                if self._cancelled:
                    raise Cancelled
                if skip:
                    skipped = min(skip, len(chunk))
                    skip -= skipped
                    chunk = chunk[skipped:]
                writer.write(chunk)
                self._told(writer.size)
            if writer.size < want.size:
                raise Trouble(RegistryBroken(self._repository.domain, f"sends {writer.size} bytes of a blob that has {want.size}"))
        finally:
            self._response = None
            response.close() if writer.size < want.size else response.release_conn()

    def _told(self, written: int) -> None:
        self._trail.advance(written)
        now = monotonic()
        if written - self._told_bytes >= _STEP or now - self._told_at >= _PAUSE_S or written == self.descriptor.size:
            self._told_bytes, self._told_at = written, now
            self._on_progress(Transfer(self.descriptor.digest, self._state, written, self.descriptor.size))

    # ------------------------------------------------------------ everybody else
    def cancel(self) -> None:
        """End it soon. Idempotent."""
        self._cancelled = True
        response = self._response
        if response is not None:
            try:
                response.shutdown()
            except (OSError, ValueError, RuntimeError, AttributeError):
                pass                                     # it has just ended by itself

    def chunks(self) -> "Iterator[bytes]":
        """The bytes as they come. Raises what went wrong, where it went wrong; that they are the right ones is known after `finish`."""
        self._state = EXTRACTING
        return self._trail.chunks()

    def finish(self, diff_id: "Digest | str" = "") -> "tuple[Digest, int]":
        """Wait for the end: (digest, bytes), whatever it unpacks to.

        Raises what went wrong: RegistryError, DigestMismatch, SizeMismatch, Cancelled.
        """
        return self.descriptor.digest, self._trail.wait()

    def is_spoilt(self) -> bool:
        """Wait for the end: whether it has other bytes than were promised."""
        try:
            self.finish()
        except (DigestMismatch, SizeMismatch):
            return True
        except StoreError:
            return False
        return False

    def close(self) -> None:
        """After the end: let go of the file."""
        self._trail.close()


def fetch_blob(store: "Store", repository: "Repository", descriptor: Descriptor, on_progress: "OnProgress") -> None:
    """One blob that nobody reads behind. Raises RegistryError, DigestMismatch, SizeMismatch."""
    while True:
        download = Download(store, repository, descriptor, on_progress, resume=True)
        try:
            download.run()
            if download.begun and download.is_spoilt():
                continue                                 # the beginning was damaged, and is gone: now from zero
            download.finish()
            return
        finally:
            download.close()
