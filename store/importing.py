"""Import: a tar of a root file system -> an image of one layer. In: bytes, compressed or not, and what its config is to say; out: the image's ID."""

import time

from store.compression import decompress, detect, peek
from store.digest import Digest
from store.ingest import Promise, ingest
from store.oci import HistoryEntry, ImageConfig, RootFS, to_json
from store.platform import local_platform
from store.store import Store

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from store.oci import Platform

_CARRIED = ("uncompressed", "gzip", "zstd")              # what a layer's media type has a name for


def import_tar(store: Store, chunks: "Iterable[bytes]", *, source: str, message: str = "", platform: "Platform | None" = None,
               change: "Callable[[ImageConfig], ImageConfig]" = lambda config: config, name: str = "") -> Digest:
    """source: what the history calls the file. change: made to the config before it is kept. name: of the image, "" for none.

    Raises InvalidLayer, StoreError, and what `change` raises; then nothing is kept.
    """
    platform = platform or local_platform()
    created = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    config = change(ImageConfig(architecture=platform.architecture, os=platform.os, variant=platform.variant, created=created))
    head, stream = peek(chunks)
    kind = detect(head)
    layer = ingest(store, stream if kind in _CARRIED else decompress(stream, kind), Promise(None), ())
    comment = message or f"Imported from {source}"
    whole = ImageConfig(
        architecture=config.architecture, os=config.os, variant=config.variant, author=config.author, created=created, config=config.config,
        history=(HistoryEntry(created=created, comment=comment),), rootfs=RootFS((layer.diff_id,)))
    return store.images.add(to_json(whole), (layer,), (name,) if name else ())
