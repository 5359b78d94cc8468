"""Marshal data of strangers: whether it is nothing but plain values, told without reading it. What passes may be given to marshal.loads.

marshal itself trusts what it reads: code objects, references and lengths in hostile data can crash the interpreter. What the builder keeps
(parts of keys, manifests of contexts) is tuples, lists, texts, bytes and numbers in format 2, each of which says its length.
"""

_DEPTH = 64
_ITEMS = 5_000_000
_NOTHING, _INTEGER, _FLOAT, _LONG, _SIZED, _CONTAINER = b"NTF", b"i"[0], b"g"[0], b"l"[0], b"su", b"(["
_DIGITS = 64                             # of 15 bits each


def is_plain(data: bytes) -> bool:
    """Whether `data` is exactly one plain value in marshal's format 2."""
    at, size, items = 0, len(data), 0
    left = [1]                           # how many values are still to come in each container that is open
    while left:
        if not left[-1]:
            left.pop()
            continue
        left[-1] -= 1
        items += 1
        if at >= size or items > _ITEMS:
            return False
        code = data[at]
        at += 1
        if code in _NOTHING:
            continue
        if code == _INTEGER:
            at += 4
        elif code == _FLOAT:
            at += 8
        elif code == _LONG:
            digits = abs(int.from_bytes(data[at:at + 4], "little", signed=True))
            if digits > _DIGITS:
                return False
            at += 4 + 2 * digits
        elif code in _SIZED:
            at += 4 + int.from_bytes(data[at:at + 4], "little")
        elif code in _CONTAINER:
            count = int.from_bytes(data[at:at + 4], "little")
            at += 4
            if count > size - at or len(left) >= _DEPTH:
                return False
            left.append(count)
        else:
            return False
        if at > size:
            return False
    return at == size
