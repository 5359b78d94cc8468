"""Trees that files are taken from: one interface over the build context, a stage's layers and an unpacked download. Read-only.

Paths are relative to the tree's root, without leading slash, "" for the root. A *real* path has no symlink in it.
Read in this order: Node, Files, `resolve` (what a COPY source names), `match` (Go's filepath.Match).
"""

from kernel.value import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Protocol

    from store.tree import Row, Stat, Xattrs

FORMAT, REGULAR, SYMLINK, DIRECTORY = 0o170000, 0o100000, 0o120000, 0o040000


class Node(Value):
    """One file of a tree, at its real path."""

    path: str
    stat: "Stat"
    link: str = ""
    xattrs: "Xattrs" = ()
    digest: bytes = b""          # sha256 of a regular file, where it is known

    @property
    def kind(self) -> int:
        return self.stat[0] & FORMAT

    @property
    def is_directory(self) -> bool:
        return self.stat[0] & FORMAT == DIRECTORY


if TYPE_CHECKING:
    class Files(Protocol):
        """A tree to take files from."""

        where: str               # "the build context", "stage `builder`": for messages
        lasts: bool              # nobody changes it; its times are what is recorded of it, which SOURCE_DATE_EPOCH may have made older

        @property
        def owner(self) -> tuple[int, int] | None:
            """Who every file here counts as belonging to; None: as its stat says."""

        def lookup(self, path: str, follow: bool = True) -> Node | None:
            """The file at `path`; symlinks on the way (and, with `follow`, at its end) resolve inside the tree. None: there is none."""

        def rows(self, directory: str) -> "list[Row]":
            """What is in the directory of that real path, sorted by name, with sha256 where it is known."""

        def known(self, node: Node) -> Node:
            """The same regular file with its xattrs and its sha256, read now if need be."""

        def open(self, node: Node) -> int:
            """A descriptor of a regular file or directory, to read from; the caller closes it."""


def children(files: "Files", directory: Node) -> "Iterator[Node]":
    prefix = f"{directory.path}/" if directory.path else ""
    for name, stat, link, xattrs, digest in files.rows(directory.path):
        yield Node(prefix + name, stat, link, xattrs, digest)


def clean(path: str) -> str:
    """A COPY source as a path of the tree: leading `/` and `../`, doubled and trailing slashes are normalised away."""
    parts: list[str] = []
    for part in path.split("/"):
        if part == "..":
            parts = parts[:-1]
        elif part and part != ".":
            parts.append(part)
    return "/".join(parts)


def has_wildcard(pattern: str) -> bool:
    return any(c in pattern for c in "*?[\\")


def resolve(files: "Files", pattern: str, *, wildcards: bool = True) -> "list[tuple[str, Node]]":
    """[(the path as the pattern names it, the file there)] of a COPY source, sorted; the last component of each is followed.

    wildcards: `*`, `?`, `[..]` match within one component, `\\` escapes. Empty if nothing is there.
    Raises Dangling if a link that a wildcard matches leads nowhere.
    """
    path = clean(pattern)
    if not wildcards or not has_wildcard(path):
        node = files.lookup(path)
        return [(path, node)] if node else []
    root = files.lookup("")
    found: list[tuple[str, Node]] = [("", root)] if root else []
    parts = path.split("/")
    for number, part in enumerate(parts, 1):
        found = [pair for start in found for pair in _matching(files, start, part, number == len(parts))]
    return sorted(dict(found).items())


def _matching(files: "Files", start: "tuple[str, Node]", part: str, last: bool) -> "list[tuple[str, Node]]":
    named, directory = start
    prefix = f"{named}/" if named else ""
    if not directory.is_directory:
        return []
    real = f"{directory.path}/" if directory.path else ""
    if not has_wildcard(part):
        node = files.lookup(real + part)
        return [(prefix + part, node)] if node else []
    found = []
    for name, *_ in files.rows(directory.path):
        if match(part, name):
            node = files.lookup(real + name)
            if node:
                found.append((prefix + name, node))
            elif last:
                raise Dangling(prefix + name)
    return found


class Dangling(Exception):
    """A link that is there, and what it names is not. args: its path."""


class BadPattern(ValueError):
    """A pattern that no name could match: `[` is not closed, or `\\` ends it."""


def match(pattern: str, name: str) -> bool:
    """Whether `name` matches the whole of `pattern`, as Go's filepath.Match: `*`, `?`, `[a-z]`, `[^a]`, `\\c`; none of them matches `/`."""
    return _match(pattern, 0, name, 0)


def _match(pattern: str, p: int, name: str, n: int) -> bool:
    star: tuple[int, int] | None = None
    while n < len(name) or p < len(pattern):
        if p < len(pattern):
            if pattern[p] == "*":
                star = (p + 1, n)
                p += 1
                continue
            end, matched = _one(pattern, p, name[n] if n < len(name) else "")
            if matched:
                p, n = end, n + 1
                continue
        if star is None or star[1] >= len(name) or name[star[1]] == "/":
            return False
        star = (star[0], star[1] + 1)
        p, n = star
    return True


def _one(pattern: str, p: int, c: str) -> tuple[int, bool]:
    """(end of the single-character element at `p`, whether it matches `c`); c "" matches nothing."""
    if pattern[p] == "?":
        return p + 1, c not in ("", "/")
    if pattern[p] == "\\":
        if p + 1 >= len(pattern):
            raise BadPattern(pattern)
        return p + 2, pattern[p + 1] == c
    if pattern[p] != "[":
        return p + 1, pattern[p] == c
    p += 1
    negated = pattern[p:p + 1] == "^"
    p += negated
    matched, first = False, True
    while first or pattern[p:p + 1] != "]":
        first = False
        low, p = _range_end(pattern, p)
        high = low
        if pattern[p:p + 1] == "-":
            high, p = _range_end(pattern, p + 1)
        matched = matched or (c != "" and low <= c <= high)
    return p + 1, c not in ("", "/") and matched != negated


def _range_end(pattern: str, p: int) -> tuple[str, int]:
    if p >= len(pattern) or pattern[p] in "-]":
        raise BadPattern(pattern)
    if pattern[p] == "\\":
        p += 1
    if p >= len(pattern):
        raise BadPattern(pattern)
    return pattern[p], p + 1
