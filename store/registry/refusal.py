"""Bodies of answers that say no: {"errors": [{"code", "message", "detail"}]}. In: bytes of a stranger; out: a code and words that can be shown."""

import json

from store.registry.errors import printable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def parse_refusal(data: bytes) -> "tuple[str, str]":
    """(code, message) of the first error; ("", "") where the body is something else."""
    try:
        document: "Any" = json.loads(data)
        first = document["errors"][0]
        code, message = first.get("code"), first.get("message")
    except (ValueError, RecursionError, KeyError, IndexError, TypeError, AttributeError):
        return "", ""
    return printable(code, 60) if isinstance(code, str) else "", printable(message) if isinstance(message, str) else ""
