"""A cache inside of an image: records in the image's config, whose layers are the image's own. In: a config; out: the config with them, and back.

They are there as base64 of a zlib stream of the document's JSON, under a name of our own, which no other tool reads.
"""

import zlib
from base64 import b64decode, b64encode

import msgspec
from msgspec import Struct, field

from builder.cache.document import CONFIG_LIMIT, Config, Contents, parse_config
from builder.cache.errors import InvalidCache
from store.errors import StoreError
from store.oci import ImageConfig, Manifest, compression_of, from_json, to_json

NAME = "pybuild.cache.v1"


class _Extended(Struct, frozen=True):
    cache: str = field(default="", name=NAME)


def embed(config: bytes, cache: Config) -> bytes:
    """The image config with the cache in it. config: a JSON object that has members already."""
    packed = b64encode(zlib.compress(to_json(cache), 9))
    return config[:-1] + b',"' + NAME.encode() + b'":"' + packed + b'"}'


def extract(manifest: Manifest, config: bytes, what: str) -> "Contents | None":
    """The cache in an image; None if it has none. Raises InvalidCache."""
    try:
        packed = msgspec.json.decode(config, type=_Extended).cache
        if not packed:
            return None
        stream = zlib.decompressobj()
        data = stream.decompress(b64decode(packed, validate=True), CONFIG_LIMIT)
        if not stream.eof:
            raise InvalidCache(what, f"it has more than {CONFIG_LIMIT} bytes, or ends too early")
        diff_ids = from_json(ImageConfig, config, what).diff_ids
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, ValueError, zlib.error, StoreError) as error:
        raise InvalidCache(what, str(error)) from error
    if len(diff_ids) != len(manifest.layers):
        raise InvalidCache(what, f"it has {len(diff_ids)} diff IDs, and {len(manifest.layers)} layers")
    layers = {diff_id: blob for diff_id, blob in zip(diff_ids, manifest.layers) if compression_of(blob.media_type)}
    return Contents(parse_config(data, what), layers, {blob.digest: blob for blob in manifest.layers})
