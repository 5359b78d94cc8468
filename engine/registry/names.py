"""The grammar of the distribution spec: repository names, tags, digests, ranges, page sizes. In: text of a request; out: the same, checked.

Nothing else of a request ever becomes part of a path or of SQL.
"""

import re

from engine.errors import EngineError
from engine.registry.errors import RegistryError
from store.digest import Digest, is_digest

_NAME = re.compile(r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)*")
_TAG = re.compile(r"[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}")
_DIGEST = re.compile(r"[a-z0-9]+(?:[+._-][a-z0-9]+)*:[a-zA-Z0-9=_-]+")
_NAME_LIMIT = 255
_PAGE_LIMIT = 1000


def check_name(name: str) -> str:
    """Raises NAME_INVALID. A text that begins with a valid name cannot hang the expression: no part of it can match in two ways."""
    if len(name) > _NAME_LIMIT or not _NAME.fullmatch(name):
        raise RegistryError("NAME_INVALID", "this is no name of a repository", name[:_NAME_LIMIT])
    return name


def is_tag(text: str) -> bool:
    return _TAG.fullmatch(text) is not None


def check_digest(text: str) -> Digest:
    """Raises DIGEST_INVALID, also for algorithms other than sha256."""
    if is_digest(text):
        return Digest(text)
    if _DIGEST.fullmatch(text) and not text.startswith("sha256:"):
        raise RegistryError("DIGEST_INVALID", f"digests by `{text.partition(':')[0][:20]}` are not supported, only by `sha256`", text[:200])
    raise RegistryError("DIGEST_INVALID", "this is no digest (sha256: and 64 hexadecimal digits)", text[:200])


def check_page_size(text: str) -> int:
    """Entries of a page, at most 1000. Raises PAGINATION_NUMBER_INVALID."""
    if not (text.isascii() and text.isdecimal()):
        raise RegistryError("PAGINATION_NUMBER_INVALID", "`n` is no whole number", text[:50])
    return min(int(text[:9]), _PAGE_LIMIT)


class Unsatisfiable(EngineError):
    """A byte range that the content does not have."""


def parse_range(header: str, size: int) -> "tuple[int, int] | None":
    """(first, number of bytes) of `Range: bytes=..`; None where the whole is to be sent: no range, several, or none that HTTP knows.

    Raises Unsatisfiable.
    """
    unit, equals, value = header.partition("=")
    first, dash, last = (part.strip() for part in value.partition("-"))
    if unit.strip().lower() != "bytes" or not equals or not dash or "," in value or not (first or last):
        return None
    if not all(part.isascii() and (part.isdecimal() or not part) and len(part) < 20 for part in (first, last)):
        return None
    if not first:
        count = min(int(last), size)
        if not count:
            raise Unsatisfiable
        return size - count, count
    start, end = int(first), min(int(last), size - 1) if last else size - 1
    if last and int(last) < start:
        return None
    if start >= size:
        raise Unsatisfiable
    return start, end - start + 1


def parse_content_range(header: str) -> "tuple[int, int]":
    """(first, number of bytes) of an upload's `Content-Range: first-last`. Raises RANGE_INVALID."""
    text = header.strip().removeprefix("bytes").strip().partition("/")[0]
    first, dash, last = text.partition("-")
    if not dash or not all(part.isascii() and part.isdecimal() and len(part) < 20 for part in (first, last)) or int(last) < int(first):
        raise RegistryError("RANGE_INVALID", "the content range is not `first-last`", header[:100], status=416)
    return int(first), int(last) - int(first) + 1
