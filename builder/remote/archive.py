"""Archives from elsewhere: recognised by their content, unpacked into a draft. What they say is not trusted (store.extract)."""

import os

from builder.remote.errors import NotAContext
from store.compression import decompress, detect, peek
from store.errors import InvalidLayer, StoreError
from store.extract import Policy, apply
from store.tarreader import TarReader
from store.tree import OPEN_DIRECTORY

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from store.extract import Applied
    from store.snapshots import Draft
    from store.store import Store


def is_archive(chunks: "Iterable[bytes]") -> bool:
    """Whether it begins as a tar does, perhaps compressed. A beginning of 2 MiB is enough to tell."""
    head, stream = peek(chunks)
    try:
        for _ in TarReader(decompress(stream, detect(head))):
            return True
    except StoreError:
        return False
    return False


def unpack(store: "Store", chunks: "Iterable[bytes]", draft: "Draft", what: str) -> "Applied":
    """Unpack a tar, perhaps compressed. what: it, for messages. Raises NotAContext (damaged, hostile), StoreError."""
    head, stream = peek(chunks)
    policy = Policy(whiteouts=False, hashed=True, xattr_prefix=store.root.xattr_prefix, owners=store.root.owners)
    fd = os.open(draft.directory, OPEN_DIRECTORY)
    try:
        return apply(decompress(stream, detect(head)), fd, policy)
    except InvalidLayer as error:
        raise NotAContext(what, f"is a bad archive: {error}") from error
    finally:
        os.close(fd)
