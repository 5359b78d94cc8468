"""`pybuild du`: what takes the room on the disk."""

import os

from pybuild.option import FLAG, VALUE, Option, Usage
from pybuild.place import open_store
from pybuild.scanner import Options

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pybuild.output.listing import Row
    from store.store import Store

USAGE = Usage("Show how much room images, blobs, the build cache and cache mounts take. `pybuild prune` frees what is reclaimable.",
              "pybuild du\npybuild du -v --format '{{.ID}} {{.Size}}'", (),
              (Option("-v --verbose", FLAG, "show every layer of the cache"),
               Option("--format", VALUE, "table, json, or a Go template", "FORMAT")))


def main(options: Options) -> int:
    from pybuild.output.listing import show
    from pybuild.user import enter

    with open_store(options) as store:
        enter(store)
        rows = _layers(store) if options.verbose else _kinds(store)
    columns = ((("ID", "ID"), ("RECLAIMABLE", "Reclaimable"), ("SIZE", "Size"), ("LAST USED", "LastUsed")) if options.verbose else
               (("TYPE", "Type"), ("TOTAL", "TotalCount"), ("ACTIVE", "Active"), ("SIZE", "Size"), ("RECLAIMABLE", "Reclaimable")))
    show(rows, columns, format=options.format)
    return 0


def _kinds(store: "Store") -> "list[Row]":
    from builder.cachemount import CacheDirectories
    from pybuild.output.units import size
    from store.gc import usage
    from store.usage import Usage as Line
    from store.usage import usage_of

    lines = list(usage_of(store))
    mounts = [usage(os.path.dirname(d.path)) for d in CacheDirectories(f"{store.root.path}/cachemounts").list()]
    lines.append(Line("Cache mounts", len(mounts), 0, sum(mounts), sum(mounts)))
    for kind, name in (("Context indexes", "contexts"), ("Git mirrors", "git")):
        path = f"{store.root.path}/{name}"
        if os.path.isdir(path):
            taken = usage(path)
            lines.append(Line(kind, len(os.listdir(path)), 0, taken, taken))
    return [{"Type": x.kind, "TotalCount": str(x.total), "Active": str(x.active), "Size": size(x.size),
             "Reclaimable": f"{size(x.reclaimable)} ({x.reclaimable * 100 // x.size if x.size else 0}%)"} for x in lines]


def _layers(store: "Store") -> "list[Row]":
    import time

    from pybuild.output.units import ago, size
    from store.usage import entries

    now = time.time()
    return [{"ID": entry.id, "Reclaimable": str(not entry.shared).lower(), "Size": size(entry.size), "LastUsed": f"{ago(now - entry.used)} ago",
             "Shared": str(entry.shared).lower()} for entry in entries(store)]
