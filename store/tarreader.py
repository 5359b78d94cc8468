"""Reading tar streams that may be hostile. In: chunks of bytes; out: members, each with a way to take its content.

ustar, pax (also global), GNU long names, base-256 numbers, and the four sparse forms (GNU old, pax 0.0, 0.1, 1.0). Never `tarfile`: nothing is
resolved, extracted or trusted here, and every length is capped before memory is taken for it.
"""

from kernel.value import Value
from store.errors import InvalidLayer

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

BLOCK_SIZE = 512
HEADER_LIMIT = 1 << 20                  # bytes of one pax header or long name
_SEGMENTS = 1 << 16                     # pieces of data in one sparse file
_NO_CONTENT = b"123456"                 # link, symlink, devices, directory, fifo: whatever their size field says (as Go reads them)
_SAME = {b"\0": b"0", b"7": b"0", b"D": b"5"}    # old file, contiguous file, directory of an incremental dump
_SKIPPED = b"VM"                        # volume label, continuation of another volume
_XATTR = b"SCHILY.xattr."
_MAX = 1 << 62


class Member(Value):
    """One entry, as the archive says it: nothing in it is checked against anything.

    kind: b"0" file, b"1" hard link, b"2" symlink, b"3" and b"4" devices, b"5" directory, b"6" fifo. size: bytes the file will have;
    stored: bytes of content that follow in the stream; sparse: (offset, length) of where they go, () if in one piece from 0.
    """

    name: bytes
    kind: bytes
    mode: int
    uid: int
    gid: int
    size: int
    stored: int
    mtime_ns: int
    link: bytes
    major: int
    minor: int
    xattrs: "tuple[tuple[bytes, bytes], ...]"
    sparse: "tuple[tuple[int, int], ...]"


class TarReader:
    """Iterate for members; `content` gives what belongs to the last one. What is not taken is skipped.

    seek: where the stream can be skipped without reading it, called with a number of bytes that `chunks` is then to leave out.
    """

    def __init__(self, chunks: "Iterable[bytes]", seek: "Callable[[int], None] | None" = None) -> None:
        self._chunks = iter(chunks)
        self._seek = seek
        self._chunk = memoryview(b"")
        self._at = 0                    # in the chunk
        self._left = 0                  # bytes of the member's content not yet taken
        self._pad = 0
        self._globals: "dict[bytes, bytes]" = {}
        self.offset = 0                 # bytes of the stream consumed

    # ------------------------------------------------------------ bytes
    def _take(self, count: int) -> "bytes | None":
        """Exactly `count` bytes; None at a clean end."""
        data = self._chunk[self._at:self._at + count]
        self._at += len(data)
        self.offset += len(data)
        if len(data) == count:
            return bytes(data)
        parts, missing = [bytes(data)], count - len(data)
        while missing:
            if not self._refill():
                if missing == count:
                    return None
                raise InvalidLayer("ends in the middle of an entry")
            data = self._chunk[:missing]
            self._at = len(data)
            self.offset += len(data)
            missing -= len(data)
            parts.append(bytes(data))
        return b"".join(parts)

    def _refill(self) -> bool:
        self._chunk, self._at = memoryview(b""), 0
        for chunk in self._chunks:
            if chunk:
                self._chunk = memoryview(chunk)
                return True
        return False

    def content(self) -> "Iterator[memoryview]":
        """Pieces of the current member's content that are not taken yet."""
        while self._left:
            if self._at == len(self._chunk) and not self._refill():
                raise InvalidLayer("ends in the middle of an entry")
            data = self._chunk[self._at:self._at + self._left]
            self._at += len(data)
            self.offset += len(data)
            self._left -= len(data)
            yield data

    def read(self, limit: int) -> bytes:
        """The whole content of the current member; raises InvalidLayer if it has more than `limit` bytes."""
        if self._left > limit:
            raise InvalidLayer(f"has an entry of {self._left} bytes where at most {limit} are possible")
        return b"".join(self.content())

    def drain(self) -> None:
        """Read the stream to its end: what follows the end mark is part of what is hashed."""
        for _ in self.content():
            pass
        self.offset += len(self._chunk) - self._at
        while self._refill():
            self.offset += len(self._chunk)

    def _skip(self) -> None:
        """Pass over what is left of the current member."""
        count, self._left, self._pad = self._left + self._pad, 0, 0
        here = min(count, len(self._chunk) - self._at)
        self._at += here
        self.offset += here
        count -= here
        if count and self._seek:
            self._seek(count)
            self.offset += count
            return
        while count:
            if not self._refill():
                raise InvalidLayer("ends in the middle of an entry")
            self._at = min(count, len(self._chunk))
            self.offset += self._at
            count -= self._at

    # ------------------------------------------------------------ members
    def __iter__(self) -> "Iterator[Member]":
        pax: "dict[bytes, bytes]" = {}
        sparse: "list[tuple[bytes, bytes]]" = []
        long_name, long_link = b"", b""
        while True:
            self._skip()
            block = self._take(BLOCK_SIZE)
            if block is None or block.count(0) == BLOCK_SIZE:
                return
            kind, size = _checked(block)
            if kind in b"xgLK" or kind == b"X":
                body = self._body(size)
                if kind == b"L":
                    long_name = body.split(b"\0", 1)[0]
                elif kind == b"K":
                    long_link = body.split(b"\0", 1)[0]
                elif kind == b"g":
                    self._globals = {**self._globals, **dict(parse_pax(body)[0])}
                else:
                    pax, sparse = parse_pax(body)
                continue
            if kind in _SKIPPED:
                self._left, self._pad = size, -size % BLOCK_SIZE
                continue
            yield self._member(block, kind, size, {**self._globals, **pax} if self._globals else pax, sparse, long_name, long_link)
            pax, sparse, long_name, long_link = {}, [], b"", b""

    def _body(self, size: int) -> bytes:
        if size > HEADER_LIMIT:
            raise InvalidLayer(f"has a header of {size} bytes, more than {HEADER_LIMIT}")
        body = self._take(size + -size % BLOCK_SIZE)
        if body is None and size:
            raise InvalidLayer("ends in the middle of an entry")
        return (body or b"")[:size]

    def _member(self, block: bytes, kind: bytes, size: int, pax: "dict[bytes, bytes]", sparse_pax: "list[tuple[bytes, bytes]]",
                name: bytes, link: bytes) -> Member:
        name = name or _name(block)
        link = link or block[157:257].split(b"\0", 1)[0]
        uid, gid, mtime_ns = number(block[108:116]), number(block[116:124]), number(block[136:148]) * 1_000_000_000
        xattrs: "tuple[tuple[bytes, bytes], ...]" = ()
        if pax:
            name, link = pax.get(b"path", name), pax.get(b"linkpath", link)
            size = _decimal(pax.get(b"size"), size)
            uid, gid = _decimal(pax.get(b"uid"), uid), _decimal(pax.get(b"gid"), gid)
            mtime_ns = _time(pax[b"mtime"]) if b"mtime" in pax else mtime_ns
            xattrs = tuple(sorted((key[len(_XATTR):], value) for key, value in pax.items() if key.startswith(_XATTR)))
        kind = _SAME.get(kind, kind)
        if kind == b"0" and name.endswith(b"/"):
            kind = b"5"                 # how tar of the seventies said it
        if kind in _NO_CONTENT:
            size = 0
        real = size
        segments: "tuple[tuple[int, int], ...]" = ()
        self._left, self._pad = size, -size % BLOCK_SIZE
        if kind == b"S":
            real, segments = self._old_sparse(block)
            kind = b"0"
        elif kind == b"0" and any(key.startswith(b"GNU.sparse.") for key in pax):
            name, real, segments = self._pax_sparse(pax, sparse_pax, name, size)
        elif kind not in (b"0", b"1", b"2", b"3", b"4", b"5", b"6"):
            raise InvalidLayer(f"is of an unknown type ({kind!r})", _shown(name))
        if b"\0" in name or b"\0" in link:
            raise InvalidLayer("has a name with a zero byte in it", _shown(name))
        devices = (number(block[329:337]), number(block[337:345])) if kind in (b"3", b"4") else (0, 0)
        return Member(name, kind, number(block[100:108]) & 0o7777, uid, gid, real, self._left, mtime_ns, link, *devices, xattrs, segments)

    # ------------------------------------------------------------ sparse files
    def _old_sparse(self, block: bytes) -> "tuple[int, tuple[tuple[int, int], ...]]":
        real = number(block[483:495])
        pairs = _pairs(block[386:482])
        more = block[482]
        while more:
            extension = self._take(BLOCK_SIZE)
            if extension is None:
                raise InvalidLayer("ends in the middle of an entry")
            pairs += _pairs(extension[:504])
            more = extension[504]
            if len(pairs) > _SEGMENTS:
                raise InvalidLayer(f"has a sparse file of more than {_SEGMENTS} pieces")
        return real, self._checked_map(pairs, real)

    def _pax_sparse(self, pax: "dict[bytes, bytes]", ordered: "list[tuple[bytes, bytes]]", name: bytes,
                    size: int) -> "tuple[bytes, int, tuple[tuple[int, int], ...]]":
        name = pax.get(b"GNU.sparse.name", name)
        real = _decimal(pax.get(b"GNU.sparse.realsize", pax.get(b"GNU.sparse.size")), size)
        if pax.get(b"GNU.sparse.major") == b"1":
            numbers = self._sparse_head()
        elif b"GNU.sparse.map" in pax:
            numbers = [_decimal(part, 0) for part in pax[b"GNU.sparse.map"].split(b",") if part]
        else:
            numbers = [_decimal(value, 0) for key, value in ordered]
        if len(numbers) % 2 or len(numbers) > 2 * _SEGMENTS:
            raise InvalidLayer("has a sparse file with a damaged map", _shown(name))
        return name, real, self._checked_map(list(zip(numbers[::2], numbers[1::2])), real)

    def _sparse_head(self) -> "list[int]":
        """Numbers at the beginning of the content (form 1.0): how many pairs, then the pairs, one a line, filled up to a block."""
        text, lines = b"", 0
        wanted = -1
        while wanted < 0 or lines < wanted:
            if self._left < BLOCK_SIZE or len(text) > HEADER_LIMIT * 2:
                raise InvalidLayer("has a sparse file with a damaged map")
            text += self._take(BLOCK_SIZE) or b""
            self._left -= BLOCK_SIZE
            lines = text.count(b"\n")
            if wanted < 0 and lines:
                wanted = 1 + 2 * _decimal(text.split(b"\n", 1)[0], 0)
                if not 0 < wanted <= 2 * _SEGMENTS + 1:
                    raise InvalidLayer(f"has a sparse file of more than {_SEGMENTS} pieces")
        return [_decimal(line, 0) for line in text.split(b"\n")[1:wanted]]

    def _checked_map(self, pairs: "list[tuple[int, int]]", real: int) -> "tuple[tuple[int, int], ...]":
        end = 0
        for offset, length in pairs:
            if offset < end or length < 0 or offset + length > real:
                raise InvalidLayer("has a sparse file with a damaged map")
            end = offset + length
        if sum(length for _, length in pairs) != self._left:
            raise InvalidLayer("has a sparse file whose map and content disagree")
        # a last piece of no length only says where the file ends; so that a file without any data is still known as sparse, it stays
        return tuple(pairs) or ((real, 0),)


# ---------------------------------------------------------------- fields
def _checked(block: bytes) -> "tuple[bytes, int]":
    """(type, size) of a header whose checksum is right."""
    said = number(block[148:156])
    total = sum(block) - sum(block[148:156]) + 256
    if said != total:
        signed = total - 256 * sum(1 for b in block[:148] + block[156:] if b > 127)    # some old tars added signed chars
        if said != signed:
            raise InvalidLayer("is no tar, or damaged: the checksum of a header is wrong")
    size = number(block[124:136])
    if size < 0:
        raise InvalidLayer("has a negative size", _shown(_name(block)))
    return block[156:157], size


def number(field: bytes) -> int:
    """A numeric field: octal text, or base-256 with the top bit set."""
    first = field[0]
    if first & 0x80:
        value = int.from_bytes(field, "big") & ((1 << (8 * len(field) - 1)) - 1)
        if first & 0x40:
            value -= 1 << (8 * len(field) - 1)
        if abs(value) > _MAX:
            raise InvalidLayer("has a number that is too large in a header")
        return value
    text = field.split(b"\0", 1)[0].strip(b" ")
    try:
        return int(text, 8) if text else 0
    except ValueError:
        raise InvalidLayer("is no tar, or damaged: a number in a header is none") from None


def _pairs(block: bytes) -> "list[tuple[int, int]]":
    """(offset, length) entries of an old GNU sparse map; the first empty one ends it."""
    found = []
    for at in range(0, len(block) - 23, 24):
        if not block[at]:
            break
        found.append((number(block[at:at + 12]), number(block[at + 12:at + 24])))
    return found


def _name(block: bytes) -> bytes:
    name = block[:100].split(b"\0", 1)[0]
    if block[257:263] == b"ustar\0" and block[345]:
        return block[345:500].split(b"\0", 1)[0] + b"/" + name
    return name


def parse_pax(body: bytes) -> "tuple[dict[bytes, bytes], list[tuple[bytes, bytes]]]":
    """(records, the repeated sparse ones of form 0.0 in order)."""
    records: "dict[bytes, bytes]" = {}
    sparse: "list[tuple[bytes, bytes]]" = []
    at = 0
    while at < len(body):
        blank = body.find(b" ", at, at + 20)
        length = body[at:blank] if blank > at else b""
        if not length.isdigit():
            raise InvalidLayer("has a damaged pax header")
        end = at + int(length)
        key, equals, value = body[blank + 1:end - 1].partition(b"=")
        if end > len(body) or end <= blank + 1 or body[end - 1:end] != b"\n" or not equals:
            raise InvalidLayer("has a damaged pax header")
        if key in (b"GNU.sparse.offset", b"GNU.sparse.numbytes"):
            sparse.append((key, value))
        if value or key.startswith(_XATTR):
            records[key] = value
        else:
            records.pop(key, None)      # an empty value takes back what was said
        at = end
    return records, sparse


def _decimal(text: "bytes | None", default: int) -> int:
    if text is None:
        return default
    if not text.isdigit() or len(text) > 19 or int(text) > _MAX:
        raise InvalidLayer("has a number that is none in a pax header")
    return int(text)


def _time(text: bytes) -> int:
    """Nanoseconds of "123.456", also negative."""
    sign, digits = (-1, text[1:]) if text.startswith(b"-") else (1, text)
    whole, _, part = digits.partition(b".")
    if not (whole or part) or (whole and not whole.isdigit()) or (part and not part.isdigit()) or len(whole) > 12:
        raise InvalidLayer("has a time that is none in a pax header")
    return sign * (int(whole or b"0") * 1_000_000_000 + int(part[:9].ljust(9, b"0")))


def _shown(name: bytes) -> str:
    return name[:300].decode("utf-8", "backslashreplace")
