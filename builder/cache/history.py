"""What keys were made of, so that another machine can say why a step of its is not cached. In: parts of keys and manifests; out: one blob.

It is a stranger's when it is read: what is no plain value, has another form, or (a manifest) is not what its digest says, is left out. Parts that
are not those of their key mislead whoever reads why a step ran, and nobody else.
"""

from marshal import loads

import msgspec
from msgspec import Struct

from builder.cache.errors import InvalidCache
from builder.cache.plainmarshal import is_plain
from store.compression import compress_piece, decompress
from store.digest import Digest, digest_of
from store.errors import InvalidLayer

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

PACKED_LIMIT, LIMIT = 32 << 20, 128 << 20                # bytes
_LEVEL = 9


class History(Struct, frozen=True):
    """parts: by key; kept: manifests and rows of directories, by digest. Bytes as the store keeps them (marshal)."""

    parts: dict[Digest, bytes] = {}
    kept: dict[Digest, bytes] = {}


def pack(history: History) -> bytes:
    """The same history gives the same bytes."""
    ordered = History(dict(sorted(history.parts.items())), dict(sorted(history.kept.items())))
    return compress_piece(msgspec.msgpack.encode(ordered), "zstd", _LEVEL)


def unpack(data: bytes, what: str) -> History:
    """Raises InvalidCache for what cannot be read at all."""
    found: list[bytes] = []
    size = 0
    try:
        for chunk in decompress([data], "zstd"):
            size += len(chunk)
            if size > LIMIT:
                raise InvalidCache(what, f"its history has more than {LIMIT} bytes")
            found.append(chunk)
        history = msgspec.msgpack.decode(b"".join(found), type=History)
    except (InvalidLayer, msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidCache(what, f"its history {error}") from error
    parts = {key: data for key, data in history.parts.items() if _passes(data, _are_parts)}
    kept = {name: data for name, data in history.kept.items() if digest_of(data) == name and _passes(data, _is_kept)}
    return History(parts, kept)


def _passes(data: bytes, check: "Callable[[Any], bool]") -> bool:
    try:
        return is_plain(data) and check(loads(data))
    except (ValueError, EOFError, TypeError, MemoryError):
        return False


# ---------------------------------------------------------------- forms
def _are_parts(value: "Any") -> bool:
    """(format, (name of the op, ((field, value), ..)), (what each input counts as, ..)): builder.cachekey.parts."""
    if not (isinstance(value, tuple) and len(value) == 3 and isinstance(value[0], int) and _is_op(value[1]) and isinstance(value[2], tuple)):
        return False
    return all(counted is None or isinstance(counted, str) for counted in value[2])


def _is_op(value: "Any") -> bool:
    if not (isinstance(value, tuple) and len(value) == 2 and isinstance(value[0], str) and _are_pairs(value[1])):
        return False
    fields = dict(value[1])
    words, env = fields.get("argv", ()), fields.get("env", ())
    return isinstance(words, tuple) and all(isinstance(word, str) for word in words) and _are_pairs(env) and all(isinstance(v, str) for _, v in env)


def _are_pairs(value: "Any") -> bool:
    return isinstance(value, tuple) and all(isinstance(item, tuple) and len(item) == 2 and isinstance(item[0], str) for item in value)


def _is_kept(value: "Any") -> bool:
    return _is_top(value) or _are_rows(value)


def _is_top(value: "Any") -> bool:
    """[(name, [(directory, sha256 of its rows), ..]), ..]: builder.selection.Manifest.top."""
    return isinstance(value, list) and all(
        isinstance(source, tuple) and len(source) == 2 and isinstance(source[0], str) and isinstance(source[1], list) and all(
            isinstance(item, tuple) and len(item) == 2 and isinstance(item[0], str) and isinstance(item[1], bytes) for item in source[1])
        for source in value)


def _are_rows(value: "Any") -> bool:
    """[(name, mode, uid, gid, size, device, link, xattrs, sha256), ..]: builder.selection.facts."""
    return isinstance(value, list) and all(
        isinstance(row, tuple) and len(row) == 9 and isinstance(row[0], str) and all(isinstance(n, int) for n in row[1:6]) and isinstance(row[6], str)
        for row in value)
