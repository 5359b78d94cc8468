"""COPY --parents: what a pattern names below a directory, and the directories on the way to it, which are made as they are.

A pattern is one of ignore files, matched against the path below the directory: what it matches is taken whole. As in BuildKit a link is
taken as a link, unlike by plain COPY, and links are followed only where the pattern names them on its way.
"""

from builder.errors import CopySourceMissing
from builder.files import children, clean, has_wildcard
from builder.ignore import BadPattern, may_contain, of_flags

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from builder.files import Files, Node
    from builder.selection import Keep, Taken


def find(files: "Files", top: "Node", pattern: str) -> "list[tuple[str, Node]]":
    """[(path below `top`, the file there)] of what a pattern names, sorted. Raises CopySourceMissing if the pattern does not read."""
    parts = clean(pattern).split("/")
    plain = next((number for number, part in enumerate(parts) if has_wildcard(part)), len(parts))
    way, rest = "/".join(parts[:plain]), "/".join(parts[plain:])
    start = files.lookup(f"{top.path}/{way}", follow=bool(rest)) if way else top
    if start is None or not rest:
        return [(way, start)] if start is not None else []
    try:
        wanted = of_flags((f"!{rest}",))
    except BadPattern as error:
        raise CopySourceMissing(pattern, files.where, f"the pattern does not read: {error.problem}") from error
    found, todo = [], [(way, "", start)] if start.is_directory else []
    while todo:
        named, below, directory = todo.pop()
        for node in children(files, directory):
            name = node.path.rpartition("/")[2]
            path, rel = f"{named}/{name}".lstrip("/"), f"{below}/{name}".lstrip("/")
            if wanted.decide(rel) >= 0:
                found.append((path, node))
            elif node.is_directory and may_contain(wanted, rel):
                todo.append((path, rel, node))
    return sorted(found)


def way_to(files: "Files", item: "Taken") -> "Iterator[tuple[str, Node]]":
    """(path as it is kept, directory) of what leads to something that is taken, from the top."""
    parts = item.kept.split("/")
    for count in range(1, len(parts)):
        way = "/".join(parts[:count])
        node = files.lookup(f"{item.root}/{way}")
        assert node is not None, "a directory on the way to a found file is gone"
        yield way, node


def keeper(keep: "Keep | None", path: str) -> "Keep | None":
    """`keep`, which asks for the path as it is kept, for what lies below `path`."""
    return keep if keep is None or not path else lambda rel: keep(f"{path}/{rel}")


def wanted(files: "Files", item: "Taken", keep: "Keep | None") -> bool:
    """Whether `--exclude` leaves anything of what is taken."""
    if keep is None or not item.kept or keep(item.kept):
        return True
    if not item.node.is_directory:
        return False
    from builder.selection import below

    return any(True for _ in below(files, item.node, keeper(keep, item.kept)))
