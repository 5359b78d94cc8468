"""The tree of a Dockerfile as other programs read it: `pybuild parse` prints a list of these. Everything is raw, nothing expanded."""

from lang.nodes import Raw
from lang.source import Source

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def node(raw: Raw, source: Source) -> "dict[str, Any]":
    """One instruction: `args` decoded if `json`; names and values joined by `=`; `line` its first and last line, heredocs included."""
    found = _node(raw)
    found["line"] = [source.position(raw.span.start)[0], source.position(raw.span.end)[0]]
    return found


def _node(raw: Raw) -> "dict[str, Any]":
    args = [word.text for word in raw.args]
    found: dict[str, Any] = {
        "instruction": raw.keyword.text.lower(), "flags": [flag.text for flag in raw.flags],
        "args": ["=".join(args)] if raw.legacy else args, "json": raw.json,
        "heredocs": [{"name": h.name, "content": h.content, "expand": h.expand, "chomp": h.chomp} for h in raw.heredocs]}
    if raw.name in ("ENV", "LABEL"):
        found["legacy_kv"] = raw.legacy
    if raw.child is not None:
        found["child"] = _node(raw.child)
    return found
