"""ld.so.cache, read and written: bytes enter and entries leave, or the other way round.

Read, it says which file of this machine a library's name stands for. Written, it tells the loader in an image where the image's own
libraries are, wherever they lie. Source: glibc, sysdeps/generic/dl-cache.h ("New format"); there is no other specification.
"""

import struct
import sys

from kernel.value import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from builder.base.elf import Kind

_OLD_MAGIC, _OLD_HEADER, _OLD_ENTRY = b"ld.so-1.7.0\0", 16, 12
_MAGIC = b"glibc-ld.so.cache1.1"
_HEADER = struct.Struct("=20sIIB3xI12x")         # magic, entries, bytes of strings, byte order, offset of the extensions
_ENTRY = struct.Struct("=iIIIQ")                 # flags, offset of name, offset of path, unused, hwcap
_BYTE_ORDER = 2 if sys.byteorder == "little" else 3

_FLAG_ELF_LIBC6 = 0x0003
_ARCHITECTURE = {(64, 62): 0x0300, (32, 62): 0x0800, (32, 3): 0, (64, 183): 0x0A00, (32, 40): 0x0900}


class CacheEntry(Value):
    name: str                    # the library's name: libc.so.6
    path: str
    flags: int


def parse_cache(data: bytes) -> tuple[CacheEntry, ...]:
    """The entries for any processor of the machine's kind, in the file's order; () if this is no cache that the loader would use."""
    start = 0
    if data[:12] == _OLD_MAGIC and len(data) >= _OLD_HEADER:
        start = _OLD_HEADER + _OLD_ENTRY * struct.unpack_from("=I", data, 12)[0]
        start += -start % 8
    if len(data) < start + _HEADER.size:
        return ()
    magic, count, _, order, _ = _HEADER.unpack_from(data, start)
    if magic != _MAGIC or order & 3 not in (0, _BYTE_ORDER) or start + _HEADER.size + count * _ENTRY.size > len(data):
        return ()
    found = []
    for flags, name, path, _, hwcap in _ENTRY.iter_unpack(data[start + _HEADER.size:start + _HEADER.size + count * _ENTRY.size]):
        if not hwcap:                            # the others are for some processors only: an image goes to other machines
            found.append(CacheEntry(_text(data, start + name), _text(data, start + path), flags))
    return tuple(entry for entry in found if entry.name and entry.path.startswith("/"))


def _text(data: bytes, at: int) -> str:
    end = data.find(b"\0", at, at + 4096)
    return data[at:end].decode("utf-8", "surrogateescape") if end > at else ""


def flags_of(kind: "Kind") -> int | None:
    """What an entry for objects of this kind carries; None for an architecture whose number is not known here."""
    bits = _ARCHITECTURE.get((kind.bits, kind.machine))
    return None if bits is None else _FLAG_ELF_LIBC6 | bits


def encode_cache(entries: "Iterable[CacheEntry]") -> bytes:
    """A cache with these entries; equal entries give equal bytes, in whatever order they come."""
    # The loader searches by halves, from the greatest name to the least; the later keys only make the order total
    ordered = sorted(set(entries), key=lambda e: (_collation(e.name), -e.flags, e.path), reverse=True)
    strings = bytearray()
    base = _HEADER.size + len(ordered) * _ENTRY.size
    rows = []
    for entry in ordered:
        name, path = (text.encode("utf-8", "surrogateescape") + b"\0" for text in (entry.name, entry.path))
        rows.append(_ENTRY.pack(entry.flags, base + len(strings), base + len(strings) + len(name), 0, 0))
        strings += name + path
    return _HEADER.pack(_MAGIC, len(ordered), len(strings), _BYTE_ORDER, 0) + b"".join(rows) + strings


def _collation(name: str) -> tuple[tuple[int, int], ...]:
    """The loader's order of names: by character, but runs of digits by number, and a digit after every other character."""
    keys: list[tuple[int, int]] = []
    number = -1
    for byte in name.encode("utf-8", "surrogateescape"):
        if 48 <= byte <= 57:
            number = max(number, 0) * 10 + byte - 48
            continue
        if number >= 0:
            keys.append((1, number))
            number = -1
        keys.append((0, byte))
    if number >= 0:
        keys.append((1, number))
    return tuple(keys)
