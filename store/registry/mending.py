"""Blobs that were lost, fetched again from where images of the store came from: what `store.fsck` is given by whoever may use the network."""

from store.errors import StoreError
from store.oci import MANIFEST_LIMIT, Descriptor
from store.reference import parse_reference
from store.registry.download import fetch_blob
from store.registry.errors import NotInRegistry, RegistryError
from store.registry.progress import silent

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from store.digest import Digest
    from store.registry.session import Session
    from store.store import Store

def blob_fetcher(store: "Store", session: "Callable[[], Session]") -> "Callable[[Digest], bool]":
    """A function that brings one blob, of a layer, a config or a manifest, and says whether it did."""
    def fetch(digest: "Digest") -> bool:
        store.blobs.hold(digest)
        return any(_from(store, session(), name, digest, size) for name, size in _places(store, digest))

    return fetch


def _places(store: "Store", digest: "Digest") -> "list[tuple[str, int]]":
    """(repository, size or 0): those that are known to have had it, then all that images were pulled from or pushed to."""
    known = {origin.repository: origin.size for origin in store.origins.of_digest(digest)}
    names = [row[0] for row in store.index.query("SELECT name FROM reference WHERE target != '' ORDER BY moved DESC")]
    others = dict.fromkeys(parse_reference(name).name for name in names)
    return [*known.items(), *((name, 0) for name in others if name not in known)]


def _from(store: "Store", session: "Session", name: str, digest: "Digest", size: int) -> bool:
    reference = parse_reference(name)
    repository = session.repository(reference)
    try:
        store.blobs.put(repository.manifest(digest).data)
        return True
    except NotInRegistry:
        pass
    except RegistryError:
        return False
    try:
        if not size:                                     # a config: small, and verified by its digest
            with store.blobs.writer(digest) as writer:
                response, _ = repository.open_blob(repository.home, digest, 0)
                for chunk in repository.home.chunks(response, MANIFEST_LIMIT * 2):
                    writer.write(chunk)
                writer.commit()
            return True
        fetch_blob(store, repository, Descriptor("", digest, size), silent)
        return True
    except StoreError:
        return False
