"""Chunks on their way into packs: what a cache does not have yet is gathered, compressed and sent. In: chunks; out: packs and their tables.

Compressing and sending happen in threads, as far ahead as memory allows.
"""

from builder.cache.document import PACK, TABLE
from builder.cache.mountindex import PACK_BYTES, Chunk, PackRef, name_of, write_table
from store.compression import compress_piece
from store.crew import Crew

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from store.crew import Job
    from store.oci import Descriptor

    Put = Callable[[str, bytes], Descriptor]             # (media type, bytes) -> where they are now

_LEVEL = 3
_THREADS = 2
_AHEAD = 3                               # packs that wait in memory


class Packer:
    """known: names of chunks that are there already. Use it in a `with`; `finish` before its end."""

    def __init__(self, known: "set[bytes]", put: "Put") -> None:
        self._known, self._put = known, put
        self._chunks: list[Chunk] = []
        self._data: list[bytes] = []
        self._size = 0
        self._crew = Crew(_THREADS)
        self._jobs: list[Job[tuple[PackRef, bytes]]] = []
        self._done: list[tuple[PackRef, bytes]] = []

    def has(self, name: bytes) -> bool:
        return name in self._known

    def add(self, data: bytes) -> Chunk:
        """See to it that the chunk gets there."""
        chunk = Chunk(name_of(data), len(data))
        if chunk.name not in self._known:
            self._known.add(chunk.name)
            self._chunks.append(chunk)
            self._data.append(data)
            self._size += len(data)
            if self._size >= PACK_BYTES:
                self._send()
        return chunk

    def _send(self) -> None:
        chunks, data = tuple(self._chunks), b"".join(self._data)
        self._chunks, self._data, self._size = [], [], 0
        self._jobs.append(self._crew.submit(lambda: self._sent(chunks, data)))
        if len(self._jobs) > _AHEAD:
            self._done.append(self._jobs.pop(0).result())

    def _sent(self, chunks: "tuple[Chunk, ...]", data: bytes) -> "tuple[PackRef, bytes]":
        table = write_table(chunks)
        pack = self._put(PACK, compress_piece(data, "zstd", _LEVEL))
        return PackRef(pack, self._put(TABLE, table)), table

    def finish(self) -> "tuple[tuple[PackRef, bytes], ...]":
        """The new packs, each with its table's bytes."""
        if self._chunks:
            self._send()
        while self._jobs:
            self._done.append(self._jobs.pop(0).result())
        return tuple(self._done)

    def __enter__(self) -> "Packer":
        self._crew.__enter__()
        return self

    def __exit__(self, *what: object) -> None:
        self._crew.__exit__(*what)

