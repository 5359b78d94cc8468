"""Layers as blobs: which bytes of a layer are here, and making those that are wanted. In: layers; out: blobs, or the tar as a stream.

A layer that was pulled or loaded keeps the bytes it came in; a built one has none until somebody wants them. The uncompressed tar of a built layer
is never stored: it is written again whenever it is needed, always the same.
"""

import marshal
import os

from kernel.value import Value
from store.blobs import Blobs
from store.digest import Digest
from store.errors import BlobMissing, DigestMismatch
from store.index import Index
from store.snapshots import Snapshots

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from store.blobs import BlobWriter
    from store.images import Layer
    from store.pack import Pieces
    from store.trail import Trail

    Sink = Callable[[bytes | bytearray | memoryview], object]

_CHUNK = 1 << 20
_END_LIMIT = 1024 + 10240                # zeros that a tar may end with


class LayerBlob(Value):
    """A blob that unpacks to a layer. compression: "uncompressed", "gzip" or "zstd"; unpacked: bytes of the tar."""

    digest: Digest
    diff_id: Digest
    compression: str
    size: int
    unpacked: int


class LayerBlobs:
    def __init__(self, index: Index, blobs: Blobs, snapshots: Snapshots) -> None:
        self._index = index
        self._blobs = blobs
        self._snapshots = snapshots

    def record(self, blob: LayerBlob, pieces: "Pieces | None" = None) -> None:
        """Note that these bytes are here, and unpack to that layer."""
        packed = marshal.dumps(tuple(pieces), 2) if pieces else b""
        self._index.run("INSERT OR REPLACE INTO blob VALUES (?, ?, ?, ?, ?, ?)",
                        blob.digest, blob.diff_id, blob.compression, blob.size, blob.unpacked, packed)

    def of(self, diff_id: Digest) -> "tuple[LayerBlob, ...]":
        """Every blob of the layer that is here, the first one first; they are held."""
        rows = self._index.query("SELECT digest, diff_id, compression, size, unpacked FROM blob WHERE diff_id = ? ORDER BY rowid", diff_id)
        self._blobs.hold(*(row[0] for row in rows))
        return tuple(blob for blob in (LayerBlob(*row) for row in rows) if self._blobs.size(blob.digest) == blob.size)

    def of_digest(self, digest: Digest) -> "LayerBlob | None":
        row = self._index.one("SELECT digest, diff_id, compression, size, unpacked FROM blob WHERE digest = ?", digest)
        self._blobs.hold(digest)
        return LayerBlob(*row) if row and self._blobs.size(digest) == row[3] else None

    def ensure(self, layer: "Layer", compression: str = "", level: "int | None" = None, *, forced: bool = False,
               earlier: "Digest | None" = None, trail: "Trail | None" = None) -> LayerBlob:
        """A blob of the layer, made and stored if there is none.

        compression: "" takes what is here, else gzip. level, forced: make it anew where one is here already. earlier: diff ID of another version
        of this layer, of whose blob is copied what is the same. trail: for reading behind, while it is made; it is ended in any case.
        """
        here = self.of(layer.diff_id)
        if not forced:
            for blob in here:
                if blob.compression == compression or not compression:
                    if trail:
                        trail.end()
                    return blob
        try:
            made = self._make(layer, compression or "gzip", level, earlier, here, trail)
        except BaseException as error:
            if trail:
                trail.end(error)
            raise
        if trail:
            trail.end()
        return made

    def _make(self, layer: "Layer", compression: str, level: "int | None", earlier: "Digest | None",
              here: "tuple[LayerBlob, ...]", trail: "Trail | None") -> LayerBlob:
        from store.pack import write_blob

        with self._blobs.writer(hashed=False) as writer:
            write = _followed(writer, trail) if trail else writer.write
            if here:                             # a foreign tar: its bytes cannot be made from the files
                from store.pack import repack

                packed = repack(self._chunks(here[0]), write, compression, level)
            else:
                other = self._earlier(earlier, compression)
                try:
                    packed = write_blob(self._snapshots.tree(layer.snapshot), self._snapshots.directories(layer.snapshot), write,
                                        compression, level, earlier=other)
                finally:
                    if other:
                        os.close(other[0])
            if packed.diff_id != layer.diff_id:
                raise DigestMismatch(layer.diff_id, packed.diff_id)
            writer.adopt(packed.digest, packed.size)
        blob = LayerBlob(packed.digest, layer.diff_id, compression, packed.size, packed.tar_size)
        self.record(blob, packed.pieces)
        return blob

    def _earlier(self, diff_id: "Digest | None", compression: str) -> "tuple[int, Pieces] | None":
        if not diff_id:
            return None
        from store.pack import Pieces

        for digest, packed in self._index.query("SELECT digest, pieces FROM blob WHERE diff_id = ? AND compression = ?", diff_id, compression):
            if packed:
                try:
                    return self._blobs.open(digest), Pieces(*marshal.loads(packed))
                except BlobMissing:
                    continue
        return None

    # ------------------------------------------------------------ the tar itself
    def tar_size(self, layer: "Layer") -> int:
        """Bytes of the uncompressed tar."""
        here = self.of(layer.diff_id)
        if here:
            return here[0].unpacked
        from store.pack import plan, tar_size

        return tar_size(plan(self._snapshots.tree(layer.snapshot)))

    def write_tar(self, layer: "Layer", write: "Sink") -> None:
        """Give the uncompressed tar to `write`. Raises DigestMismatch afterwards if it is not what the diff ID says."""
        here = sorted(self.of(layer.diff_id), key=lambda blob: blob.compression != "uncompressed")
        if not here:
            from store.pack import write_tar

            digest, _ = write_tar(self._snapshots.tree(layer.snapshot), self._snapshots.directories(layer.snapshot), write)
        else:
            from store.crew import HashingThread, ahead

            hashing = HashingThread()
            try:
                for chunk in ahead(self._chunks(here[0])):
                    hashing.update(chunk)
                    write(chunk)
            finally:
                digest = Digest(hashing.finish())
        if digest != layer.diff_id:
            raise DigestMismatch(layer.diff_id, digest)

    def _chunks(self, blob: LayerBlob) -> "Iterator[bytes]":
        """The uncompressed bytes of a blob, and the zeros of a tar's end that it may leave out."""
        from store.blobs import chunks_of
        from store.compression import decompress

        fd = self._blobs.open(blob.digest)
        try:
            size = 0
            for chunk in decompress(chunks_of(fd), blob.compression):
                size += len(chunk)
                yield chunk
            if 0 < blob.unpacked - size <= _END_LIMIT:
                yield bytes(blob.unpacked - size)
        finally:
            os.close(fd)


def _followed(writer: "BlobWriter", trail: "Trail") -> "Sink":
    trail.begin(writer.fd)

    def write(data: "bytes | bytearray | memoryview") -> None:
        writer.write(data)
        trail.advance(writer.size)

    return write
