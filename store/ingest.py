"""Taking in a foreign layer: bytes as they came -> a verbatim blob, a snapshot, and the digests of both, all in one pass.

A thread reads, hashes and decompresses; a second one hashes the tar; the caller's writes the files. What is here already is not unpacked again.
"""

import os

from kernel.value import Value
from store.compression import decompress, detect, peek
from store.crew import ahead
from store.digest import Digest
from store.errors import DigestMismatch
from store.extract import Policy, apply
from store.images import Layer
from store.layerblobs import LayerBlob
from store.store import Store
from store.tree import OPEN_DIRECTORY, own, scan

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from store.blobs import BlobWriter


class Promise(Value):
    """What the bytes of a layer are said to be; None: nobody said."""

    diff_id: "Digest | None"
    digest: "Digest | None" = None       # of the bytes as they come
    size: "int | None" = None            # of the bytes as they come


def known_layer(store: Store, diff_id: Digest, below: "tuple[Layer, ...]") -> "Layer | None":
    """The layer, if it was unpacked before: on its own, or over just these layers (absent ones too). It is held from then on."""
    for key in (diff_id, _chain_key(diff_id, below)):
        row = store.index.one("SELECT diff_id, tree, snapshot, size FROM layer WHERE key = ?", key)
        if row and store.snapshots.hold(row[2]):
            return Layer(*row)
    return None


def ingest(store: Store, chunks: "Iterable[bytes]", promise: Promise, below: "tuple[Layer, ...]", policy: "Policy | None" = None) -> Layer:
    """Unpack a layer whose bytes `chunks` gives, and keep the bytes. below: the layers that it lies on, bottom first.

    Raises DigestMismatch and SizeMismatch where the bytes are not what was promised, InvalidLayer for a damaged or hostile one; nothing stays.
    """
    head, stream = peek(chunks)
    same = detect(head) == "uncompressed"                # then the blob's digest is the diff ID, and is worked out once
    with store.blobs.writer(promise.digest, promise.size, hashed=not same) as writer:
        def keep(diff_id: Digest) -> "tuple[Digest, int]":
            return (writer.adopt(diff_id, writer.size) if same else writer.commit()), writer.size

        return unpack(store, _kept(stream, writer), promise.diff_id, below, keep, policy)


def unpack(store: Store, chunks: "Iterable[bytes]", want: "Digest | None", below: "tuple[Layer, ...]",
           keep: "Callable[[Digest], tuple[Digest, int]]", policy: "Policy | None" = None, *, remember: bool = True) -> Layer:
    """Unpack a layer whose bytes somebody else keeps. want: its diff ID, None if nobody said.

    keep: called with the diff ID when all of them were read; returns the blob's (digest, size). remember: so that `known_layer` finds it.
    Raises as ingest does, and what `keep` raises; then there is no layer.
    """
    if policy is None:
        policy = Policy()
        if store.limits is not None:
            most, entries = store.limits()
            policy = policy._replace(max_bytes=most, max_entries=entries)
    policy = policy._replace(xattr_prefix=store.root.xattr_prefix, owners=store.root.owners)
    draft = store.snapshots.begin()
    try:
        head, stream = peek(chunks)
        compression = detect(head)
        fd = os.open(draft.directory, OPEN_DIRECTORY)
        view = store.view(below) if below else None
        try:
            applied = apply(ahead(decompress(stream, compression)), fd, policy, view, want if compression != "uncompressed" else None)
        finally:
            os.close(fd)
            if view:
                view.close()
        diff_id = applied.diff_id
        if want is not None and want != diff_id:
            raise DigestMismatch(want, diff_id)
        digest, size = keep(diff_id)
    except BaseException:
        store.snapshots.discard(draft)
        raise
    store.layerblobs.record(LayerBlob(digest, diff_id, compression, size, applied.tar_size))
    # owners that the files cannot carry are kept in the rows
    tree = own(scan(draft.directory, owners=policy.owners), applied.owners) if applied.owners else None
    layer = Layer(diff_id, "", store.snapshots.commit(draft, tree=tree), applied.size)
    if remember:
        _remember(store, layer, _chain_key(diff_id, below) if applied.dependent else diff_id)
    return layer


def _remember(store: Store, layer: Layer, key: str) -> None:
    with store.index as index:
        index.query("SELECT 1")          # opens it, so that `boot` is known
        index.run("INSERT OR REPLACE INTO layer VALUES (?, ?, ?, ?, ?, ?, 0)", key, *layer, index.boot)


def _chain_key(diff_id: Digest, below: "tuple[Layer, ...]") -> str:
    return " ".join([*(layer.diff_id for layer in below), diff_id])


def _kept(chunks: "Iterator[bytes]", writer: "BlobWriter") -> "Iterator[bytes]":
    for chunk in chunks:
        writer.write(chunk)
        yield chunk
