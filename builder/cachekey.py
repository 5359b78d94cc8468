"""The key of a step: made from contents, never from definitions.

key    = sha256(canonical form of the op, results of its inputs, content digest of exactly the files it selects)
result = sha256(result of its parent, tree digest of its layer)

So a step that is re-run and yields the tree it had before leaves every later step cached (early cutoff). What an op's canonical form
leaves out is named in OUT_OF_KEY; why each: architecture.md, section "The cache key".
"""

from marshal import dumps

from kernel.value import plain
from store.digest import Digest, digest_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from builder.graph import Edge, Op

# Fields that say how a step runs, not what it yields: proxies, time-outs, retries, resource limits.
OUT_OF_KEY = frozenset({"how"})

FORMAT = 1                       # part of every key: a change of the canonical form is a change of all keys


def canonical(value: "Any") -> "Any":
    """`value` as nested plain tuples without what is OUT_OF_KEY: ("RunOp", (("argv", (..)), ..)); field names are kept for --explain."""
    fields = getattr(value, "_fields", None)
    if fields is not None:
        named = tuple((f, canonical(v)) for f, v in zip(fields, value) if f not in OUT_OF_KEY)
        return (value.__class__.__name__, named)
    if isinstance(value, tuple | list):
        return tuple(canonical(item) for item in value)
    return plain(value)


def parts(op: "Op", inputs: "tuple[Edge, ...]", results: "tuple[Digest | None, ...]", content: "Callable[[Edge], Digest]") -> "tuple[Any, ...]":
    """What the key is the digest of. An edge with a selector counts by what it selects, one without by its vertex's whole result."""
    taken = tuple(content(edge) if edge.selector is not None else result for edge, result in zip(inputs, results))
    return (FORMAT, canonical(op), taken)


def cache_key(op: "Op", inputs: "tuple[Edge, ...]", results: "tuple[Digest | None, ...]", content: "Callable[[Edge], Digest]") -> Digest:
    """Law: equal inputs give equal keys; any one changed input gives another."""
    # marshal format 2 is length-prefixed and has no references: equal values give equal bytes, on every machine and Python
    return digest_of(dumps(parts(op, inputs, results, content), 2))


def chain_result(parent: Digest | None, tree: Digest) -> Digest:
    """Result of a step: its layer on top of `parent`'s (None: on nothing)."""
    return digest_of(b"result\0" + (parent or "").encode() + b"\0" + tree.encode())


def image_result(diff_ids: "tuple[Digest, ...]") -> Digest:
    """Result of a base image: the chain of its diff IDs, so that a lazily pulled base need not be read."""
    return digest_of(b"image\0" + "\0".join(diff_ids).encode())
