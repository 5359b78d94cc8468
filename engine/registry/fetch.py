"""One blob on its way from upstream into the store, read by several clients while it comes. In: an upstream; out: a verified blob, and its bytes.

The last byte is given to nobody before the whole is known to be what its digest says. What breaks off upstream is taken up where it ended.
"""

import os
from collections.abc import Iterator
from threading import Event, Lock

from engine.registry.ledger import Ledger
from engine.registry.uploads import Place
from engine.registry.upstream import Unreachable, Upstream
from store.blobs import BlobWriter
from store.digest import Digest
from store.trail import Trail

_ATTEMPTS = 3                                          # without any byte more than the one before


class Fetch:
    """`run` in a thread of its own, then `leave`; a `reader` for everyone who wants the blob."""

    def __init__(self, upstream: Upstream, ledger: Ledger, place: Place, name: str, digest: Digest) -> None:
        self.name, self.digest, self.size = name, digest, 0
        self._upstream, self._ledger, self._place = upstream, ledger, place
        self._trail = Trail()
        self._begun = Event()
        self._error: "BaseException | None" = None
        self._users = 1                                # the thread that runs it
        self._lock = Lock()

    def run(self) -> None:
        """Fetch it all. What goes wrong is kept for the readers."""
        try:
            self._run()
        except BaseException as error:
            self._error = error
            self._trail.end(error)
        else:
            self._trail.end()
        finally:
            self._begun.set()

    def _run(self) -> None:
        self.size, chunks = self._upstream.blob(self.name, self.digest, 0)
        store = self._place.leased()
        try:
            with store.blobs.writer(self.digest, self.size) as writer:
                self._trail.begin(writer.fd)
                self._begun.set()
                self._fill(writer, chunks)
                os.fdatasync(writer.fd)
                writer.commit()
            self._ledger.add_blob(self.name, self.digest, self.size)
            self._trail.advance(self.size)
        finally:
            store.close()

    def _fill(self, writer: BlobWriter, chunks: "Iterator[bytes]") -> None:
        attempt = 1
        while True:
            before = writer.size
            try:
                for chunk in chunks:
                    writer.write(chunk)
                    self._trail.advance(max(min(writer.size, self.size - 1), 0))
                return
            except Unreachable:
                attempt = 1 if writer.size > before else attempt + 1
                if attempt > _ATTEMPTS:
                    raise
            chunks = self._upstream.blob(self.name, self.digest, writer.size)[1]

    # ------------------------------------------------------------ readers
    def reader(self) -> "Reader":
        with self._lock:
            self._users += 1
        return Reader(self, self._trail)

    def leave(self) -> None:
        """By each that has used it, once."""
        with self._lock:
            self._users -= 1
            last = not self._users
        if last:
            self._trail.close()

    def wait_begin(self) -> int:
        """Size of the blob, as soon as it is known. Raises what upstream says instead."""
        self._begun.wait()
        if self._error is not None:
            raise self._error
        return self.size


class Reader:
    """An iterator of the bytes as they come; close it at the end, or earlier."""

    def __init__(self, fetch: Fetch, trail: Trail) -> None:
        self._fetch, self._trail = fetch, trail
        self._chunks = trail.chunks()
        self._open = True

    def begin(self) -> int:
        return self._fetch.wait_begin()

    def finish(self) -> int:
        """Wait until all is there and verified; its size."""
        return self._trail.wait()

    def __iter__(self) -> "Reader":
        return self

    def __next__(self) -> bytes:
        return next(self._chunks)

    def close(self) -> None:
        if self._open:
            self._open = False
            self._fetch.leave()
