"""Header blocks of a tar entry, as we write them. In: a name and a row's stat; out: ustar, with a pax record only for what ustar cannot say.

Always the same bytes for the same entry: no user and group names, whole seconds, no access and change times, pax records sorted.
"""

import os

from store.tree import BLOCK, CHARACTER, DEVICE, FIFO, FORMAT, GID, MODE, MTIME, REGULAR, SIZE, SYMLINK, UID
from store.tree import DIRECTORY as DIRECTORY_KIND

TYPE_CHECKING = False
if TYPE_CHECKING:
    from store.tree import Stat, Xattrs

BLOCK_SIZE = 512
END = bytes(2 * BLOCK_SIZE)
FILE, LINK = b"0", b"1"
_TYPE = {REGULAR: FILE, SYMLINK: b"2", CHARACTER: b"3", BLOCK: b"4", DIRECTORY_KIND: b"5", FIFO: b"6"}
_MAX_SIZE, _MAX_ID = 0o77777777777, 0o7777777
_TAIL = b"ustar\x0000" + bytes(64) + b"0000000\x000000000\x00" + bytes(167)
_TAIL_SUM = sum(_TAIL) + 8 * 32                        # the checksum counts its own field as blanks
_owners: "dict[tuple[int, int, int], tuple[bytes, int]]" = {}


def header(name: bytes, stat: "Stat", link: bytes = b"", kind: bytes = b"", xattrs: "Xattrs" = ()) -> bytes:
    """kind: FILE or LINK to say otherwise than the mode does."""
    mode = stat[MODE]
    kind = kind or _TYPE[mode & FORMAT]
    size = stat[SIZE] if kind == FILE else 0
    mtime = stat[MTIME] // 1_000_000_000
    uid, gid = stat[UID], stat[GID]
    if (len(name) > 100 or len(link) > 100 or size > _MAX_SIZE or xattrs or uid > _MAX_ID or gid > _MAX_ID or not 0 <= mtime <= _MAX_SIZE
            or kind in b"34" or not name.isascii() or not link.isascii()):
        return _long(name, stat, link, kind, size, mtime, xattrs)
    owner = _owners.get((mode, uid, gid))
    if owner is None:
        text = b"%07o\0%07o\0%07o\0" % (mode & 0o7777, uid, gid)
        owner = _owners[mode, uid, gid] = text, sum(text)
    middle = b"%011o\0%011o\0" % (size, mtime)
    check = sum(name) + owner[1] + sum(middle) + kind[0] + sum(link) + _TAIL_SUM
    return b"%b%b%b%06o\0 %b%b%b" % (name.ljust(100, b"\0"), owner[0], middle, check, kind, link.ljust(100, b"\0"), _TAIL)


def plain_header(name: str, size: int, mode: int = 0o644, kind: bytes = FILE, link: str = "", mtime: int = 0) -> bytes:
    """Header of a file of ours, in an image archive. mtime: seconds."""
    return header(os.fsencode(name), (mode, size, mtime * 1_000_000_000, 0, 0, 0, 0, 1, 0), os.fsencode(link), kind)


def padding(size: int) -> int:
    """Zero bytes that follow a content of this size."""
    return -size % BLOCK_SIZE


def _long(name: bytes, stat: "Stat", link: bytes, kind: bytes, size: int, mtime: int, xattrs: "Xattrs") -> bytes:
    records = [(b"SCHILY.xattr." + os.fsencode(key), value) for key, value in xattrs]
    if len(name) > 100 or not name.isascii():
        records.append((b"path", name))
    if len(link) > 100 or not link.isascii():
        records.append((b"linkpath", link))
    for key, number, limit in ((b"size", size, _MAX_SIZE), (b"uid", stat[UID], _MAX_ID), (b"gid", stat[GID], _MAX_ID), (b"mtime", mtime, _MAX_SIZE)):
        if not 0 <= number <= limit:
            records.append((key, b"%d" % number))
    body = b"".join(_record(key, value) for key, value in sorted(records))
    out = b""
    if body:
        out = _block(b"././@PaxHeader", 0o644, 0, 0, len(body), 0, b"x", b"", 0) + body + bytes(padding(len(body)))
    device = stat[DEVICE] if kind in b"34" else 0
    return out + _block(name[:100], stat[MODE], stat[UID], stat[GID], size, max(mtime, 0), kind, link[:100], device)


def _record(key: bytes, value: bytes) -> bytes:
    """"LENGTH key=value\\n", where LENGTH counts itself."""
    rest = len(key) + len(value) + 3
    total = rest + len(str(rest))
    total = rest + len(str(total))
    return b"%d %b=%b\n" % (total, key, value)


def _block(name: bytes, mode: int, uid: int, gid: int, size: int, mtime: int, kind: bytes, link: bytes, device: int) -> bytes:
    text = b"%b%07o\0%07o\0%07o\0%011o\0%011o\0        %b%bustar\x0000%b%07o\0%07o\0" % (
        name.ljust(100, b"\0"), mode & 0o7777, uid & _MAX_ID, gid & _MAX_ID, size & _MAX_SIZE, mtime & _MAX_SIZE,
        kind, link.ljust(100, b"\0"), bytes(64), os.major(device), os.minor(device))
    text = text.ljust(BLOCK_SIZE, b"\0")
    return text[:148] + b"%06o\0 " % sum(text) + text[156:]
