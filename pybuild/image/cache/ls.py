"""`pybuild cache ls`: what the build cache has."""

import time

from pybuild.option import FLAG, LIST, VALUE, Option, Usage
from pybuild.place import open_store
from pybuild.scanner import Options

TYPE_CHECKING = False
if TYPE_CHECKING:
    from builder.cache.catalogue import CacheEntry
    from pybuild.output.listing import Row

USAGE = Usage("List the build cache: steps with their layers, fetched files, and cache mounts, the most recently used first.",
              "pybuild cache ls --filter type=mount\npybuild cache ls --format '{{.ID}} {{.Size}} {{.Text}}'", (),
              (Option("-f --filter", LIST, "show only what matches: type=step|source|mount", "KEY=VALUE"),
               Option("--no-trunc", FLAG, "print ids and steps in full"),
               Option("-q --quiet", FLAG, "print ids only"),
               Option("--format", VALUE, "table, json, or a Go template", "FORMAT")))
_WIDTH = 60


def main(options: Options) -> int:
    from builder.cache.catalogue import entries
    from pybuild.output.filters import keep, parse
    from pybuild.output.listing import show
    from pybuild.user import enter

    with open_store(options) as store:
        enter(store)
        found = keep(entries(store), parse(options.filter, ("type",)), {"type": lambda entry, value: entry.kind == value})
    rows = [_row(entry, time.time(), options.no_trunc) for entry in found]
    columns = (("ID", "ID"), ("TYPE", "Type"), ("SIZE", "Size"), ("LAST USED", "LastUsed"), ("STEP OR MOUNT", "Text"))
    show(rows, columns, format=options.format, quiet="ID" if options.quiet else "")
    return 0


def _row(entry: "CacheEntry", now: float, whole: bool) -> "Row":
    from pybuild.output.units import ago, size

    text = entry.text if whole or len(entry.text) <= _WIDTH else entry.text[:_WIDTH - 1] + "…"
    return {"ID": entry.id if whole else entry.id.removeprefix("sha256:")[:12], "Type": entry.kind, "Size": size(entry.size),
            "LastUsed": f"{ago(now - entry.used)} ago", "CreatedAt": entry.created, "Text": text}
