"""What a COPY takes: its sources resolved to files, filtered, and the digest of exactly that, which goes into the step's key.

What enters: Files and a Selector. What leaves: Taken values, in the order of the sources, each with the files below it that count.
"""

from marshal import dumps

from builder.errors import CopySourceMissing
from builder.files import DIRECTORY, REGULAR, SYMLINK, BadPattern, Dangling, Node, children, clean, has_wildcard, resolve
from kernel.value import Value
from store.digest import Digest, digest_of, sha256

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from builder.files import Files
    from builder.graph import Selector

    Keep = Callable[[str], bool]             # path relative to the source's root -> whether it is copied
    Add = Callable[[str, list[tuple[object, ...]]], None]


class Taken(Value):
    """One file or directory that a source names. name: as the source names it, without links followed ("a/b"); node: what is there.

    root: how much of the name is not kept with --parents, which takes a link as a link.
    """

    name: str
    node: Node
    root: str = ""

    @property
    def base(self) -> str:
        return self.name.rpartition("/")[2]

    @property
    def kept(self) -> str:
        return self.name[len(self.root):].lstrip("/")


def take(files: "Files", selector: "Selector") -> list[Taken]:
    """The sources' files in order. Raises CopySourceMissing for a source without wildcards that is not there."""
    taken: list[Taken] = []
    for pick in selector.picks:
        pattern = f"{pick.path}/{pick.keep}" if pick.keep else pick.path
        try:
            found = [Taken(name, node) for name, node in resolve(files, pick.path, wildcards=selector.wildcards)]
        except BadPattern as error:
            raise CopySourceMissing(pattern, files.where, "the pattern does not read: `[` is not closed, or it ends in `\\`") from error
        except Dangling as error:
            raise CopySourceMissing(pattern, files.where, f"`{error}` is a link, and what it names is not there") from error
        if selector.parents:
            from builder.parents import find

            found = [Taken(f"{top.name}/{kept}".strip("/"), node, top.name) for top in found for kept, node in find(files, top.node, pick.keep)]
        if not found and not (selector.wildcards and has_wildcard(clean(pattern))):
            raise CopySourceMissing(pattern, files.where, _nearby(files, clean(pattern)))
        taken += found
    return taken


def _nearby(files: "Files", path: str) -> str:
    """A help line: what there is of it, or by a similar name."""
    if files.lookup(path, follow=False) is not None:
        return f"`{path}` is a link, and what it names is not there"
    from difflib import get_close_matches

    directory, _, name = path.rpartition("/")
    above = files.lookup(directory)
    if above is None or not above.is_directory:
        return ""
    close = get_close_matches(name, [row[0] for row in files.rows(above.path)], 1)
    return f"did you mean `{directory + '/' if directory else ''}{close[0]}`?" if close else ""


def below(files: "Files", top: Node, keep: "Keep | None" = None) -> "Iterator[tuple[str, Node]]":
    """(path relative to `top`, node) of everything below a directory, parents first, names sorted; what `keep` refuses is left out.

    A refused directory is still looked into: something below may be wanted (`!` patterns). Whoever copies makes it when it is needed.
    """
    prefix = len(top.path) + 1 if top.path else 0
    todo = [top]
    while todo:
        inner: list[Node] = []
        for node in children(files, todo.pop()):
            rel = node.path[prefix:]
            if keep is None or keep(rel):
                yield rel, node
            if node.is_directory:
                inner.append(node)
        todo += inner[::-1]


def excluder(excludes: "tuple[str, ...]") -> "Keep | None":
    """What `--exclude` leaves: a test of paths relative to their source; None if it excludes nothing."""
    if not excludes:
        return None
    from builder.ignore import matches, of_flags

    patterns = of_flags(excludes)
    return lambda path: not matches(patterns, path)


class Manifest(Value):
    """What sources hold, as a tree of two levels: `top` lists each source's directories with the digest of their rows; `rows` has those by digest.

    The content digest is the sha256 of `top`. Row: (name, mode, uid, gid, size, device, link, xattrs, sha256); no times, no inode numbers.
    """

    top: bytes
    rows: dict[bytes, bytes]

    @property
    def digest(self) -> Digest:
        return digest_of(self.top)


def manifest(files: "Files", taken: list[Taken], selector: "Selector") -> Manifest:
    """A source counts by its base name (with --parents: its whole path), a directory by what is below it, since only that is copied."""
    keep = excluder(selector.excludes)
    rows: dict[bytes, bytes] = {}
    sources = []
    ways: set[str] = set()
    for item in taken:
        name = item.kept if selector.parents else item.base if not item.node.is_directory else ""
        directories: list[tuple[str, bytes]] = []

        def add(rel: str, found: "list[tuple[object, ...]]", directories: list[tuple[str, bytes]] = directories) -> None:
            data = dumps(found, 2)
            digest = sha256(data).digest()
            rows[digest] = data
            directories.append((rel, digest))

        if selector.parents:
            _with_parents(files, item, keep, add, ways)
        elif item.node.is_directory:
            if selector.whole:
                add("", [facts(files, ".", item.node)])
            _directories(files, item.node, keep, add)
        elif keep is None or keep(item.base):
            add("", [facts(files, item.base, item.node)])
        sources.append((name, directories))
    return Manifest(dumps(sources, 2), rows)


def _with_parents(files: "Files", item: Taken, keep: "Keep | None", add: "Add", ways: set[str]) -> None:
    """What is taken with its path, under that path: the directories on the way count too, for they are made as they are. ways: that were added."""
    from builder.parents import keeper, wanted, way_to

    if not wanted(files, item, keep):
        return
    for way, node in way_to(files, item):
        if f"{item.root}/./{way}" not in ways:
            ways.add(f"{item.root}/./{way}")
            above, _, base = way.rpartition("/")
            add(above and f"{above}/", [facts(files, base, node)])
    if item.kept:
        above, _, base = item.kept.rpartition("/")
        add(above and f"{above}/", [facts(files, base, item.node)])
    if item.node.is_directory:
        _directories(files, item.node, keeper(keep, item.kept), lambda rel, found: add(f"{item.kept}/{rel}".lstrip("/"), found))


def _directories(files: "Files", top: Node, keep: "Keep | None", add: "Add") -> None:
    """`add` every directory below `top` with the rows in it that count, parents first."""
    prefix = len(top.path) + 1 if top.path else 0
    todo = [top]
    while todo:
        directory = todo.pop()
        found, inner = [], []
        for node in children(files, directory):
            rel = node.path[prefix:]
            if keep is None or keep(rel):
                found.append(facts(files, rel.rpartition("/")[2], node))
            if node.is_directory:
                inner.append(node)
        if found:
            add(f"{directory.path[prefix:]}/" if directory is not top else "", found)
        todo += inner[::-1]


def facts(files: "Files", name: str, node: Node) -> "tuple[object, ...]":
    """What of a file counts."""
    kind = node.kind
    if kind == REGULAR:
        node = files.known(node)
    stat = node.stat
    size = stat[1] if kind == REGULAR else 0
    device = stat[8] if kind not in (REGULAR, DIRECTORY, SYMLINK) else 0
    mode = stat[0] if kind != SYMLINK else kind
    uid, gid = files.owner or (stat[5], stat[6])
    return name, mode, uid, gid, size, device, node.link, node.xattrs, node.digest
