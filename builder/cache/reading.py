"""Reading caches: what a depot's name leads to, whether that is a cache of its own or an image with one in it. In: a Depot; out: Contents."""

from builder.cache.depot import blob
from builder.cache.document import Contents, parse_document
from builder.cache.document import read as read_document
from builder.cache.inline import extract
from store.oci import CONFIG_LIMIT, DOCKER_CONFIG, OCI_CONFIG

TYPE_CHECKING = False
if TYPE_CHECKING:
    from builder.cache.depot import Depot


def read_cache(depot: "Depot") -> "Contents | None":
    """None if nothing is there yet, or an image without a cache in it. Raises CacheError."""
    data = depot.load()
    if data is None:
        return None
    manifest = parse_document(data, depot.title)
    if manifest.config.media_type in (OCI_CONFIG, DOCKER_CONFIG):
        return extract(manifest, blob(depot, manifest.config, CONFIG_LIMIT), depot.title)
    return read_document(manifest, lambda descriptor, limit: blob(depot, descriptor, limit), depot.title)
