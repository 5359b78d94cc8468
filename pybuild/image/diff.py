"""`pybuild diff`: files that differ between two images."""

import json

from pybuild.option import FLAG, VALUE, Operand, Option, Usage
from pybuild.place import open_store
from pybuild.scanner import Options

TYPE_CHECKING = False
if TYPE_CHECKING:
    from store.comparing import Change

USAGE = Usage("Show which files differ between two images: A added, C changed, D deleted. Times do not count.",
              "pybuild diff app:1 app:2\npybuild diff -v debian:bookworm app",
              (Operand("first", "1", "name or ID of an image"), Operand("second", "1", "name or ID of another")),
              (Option("-v --verbose", FLAG, "say of a changed file what differs"),
               Option("--format", VALUE, "how the list is written", "FORMAT", "text", choices=("text", "json"))))


def main(options: Options) -> int:
    from pybuild.user import enter
    from store.comparing import compare

    with open_store(options) as store:
        first, second = store.images.require(options.first).id, store.images.require(options.second).id
        enter(store)
        changes = compare(store, first, second)
    if options.format == "json":
        print(json.dumps([{"kind": c.kind, "path": c.path, **({"changes": {f: [a, b] for f, a, b in c.what}} if c.what else {})} for c in changes]))
    else:
        for change in changes:
            print(_line(change, options.verbose))
    return 0


def _line(change: "Change", verbose: bool) -> str:
    path = "".join(c if c.isprintable() else repr(c)[1:-1] for c in change.path)
    if not verbose or not change.what:
        return f"{change.kind} {path}"
    return f"{change.kind} {path} ({', '.join(_words(*what) for what in change.what)})"


def _words(field: str, before: str, after: str) -> str:
    return field if field in ("content", "xattrs") else f"{field} {before or '-'} -> {after or '-'}"
