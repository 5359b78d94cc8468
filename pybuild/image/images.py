"""`pybuild images`: what is in the store, by name."""

import time

from pybuild.option import FLAG, LIST, VALUE, Operand, Option, Usage
from pybuild.place import open_store
from pybuild.scanner import Options

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pybuild.output.listing import Row
    from store.images import ImageRecord
    from store.store import Store

USAGE = Usage(
    "List images.", "pybuild images --filter dangling=false --format '{{.Repository}}:{{.Tag}} {{.Size}}'",
    (Operand("name", "?", "show only this repository, or name:tag; `*` and `?` match"),),
    (Option("-a --all", FLAG, "show base images made of this machine too"),
     Option("-q --quiet", FLAG, "print IDs only"),
     Option("--no-trunc", FLAG, "print IDs in full"),
     Option("--digests", FLAG, "show the digests that names were pulled or pushed with"),
     Option("--tree", FLAG, "show of each name that leads to an index which platforms it lists, and what of them is here"),
     Option("-f --filter", LIST, "show only what matches: dangling=, label=, before=, since=, until=, reference=", "KEY=VALUE"),
     Option("--format", VALUE, "table, json, or a Go template", "FORMAT")))

_FILTERS = ("dangling", "label", "before", "since", "until", "reference")


def main(options: Options) -> int:
    from pybuild.output.listing import show

    if options.tree:
        return _tree(options)
    with open_store(options) as store:
        rows = list_rows(store, options.filter, options.name, everything=options.all, no_trunc=options.no_trunc)
    columns = [("REPOSITORY", "Repository"), ("TAG", "Tag"), ("IMAGE ID", "ID"), ("CREATED", "CreatedSince"), ("SIZE", "Size")]
    if options.digests:
        columns.insert(2, ("DIGEST", "Digest"))
    if options.quiet:
        rows = list({row["ID"]: row for row in rows}.values())
    show(rows, tuple(columns), format=options.format, quiet="ID" if options.quiet else "")
    return 0


def _tree(options: Options) -> int:
    from pybuild.image.tree import lines
    from pybuild.scanner import Misuse

    for name, given in (("--quiet", options.quiet), ("--no-trunc", options.no_trunc), ("--digests", options.digests), ("--format", options.format)):
        if given:
            raise Misuse(f"--tree and {name} cannot both be given")
    with open_store(options) as store:
        for line in lines(store, select(store, options.filter, options.name, everything=options.all)):
            print(line)
    return 0


def list_rows(store: "Store", filters: list[str], name: str | None, *, everything: bool, no_trunc: bool) -> "list[Row]":
    """One row a name; an image without one has a row with `<none>`."""
    from store.reference import parse_reference

    return [_row(store, record, parse_reference(stored) if stored else None, no_trunc)
            for record, stored in select(store, filters, name, everything=everything)]


def select(store: "Store", filters: list[str], name: str | None, *, everything: bool) -> "list[tuple[ImageRecord, str]]":
    """(image, a name of it in full, or ""): what is to be listed."""
    from pybuild.image.prune import age
    from pybuild.output.filters import is_true, keep, label_matches, parse

    wanted = parse(filters, _FILTERS)
    records = [r for r in store.images.list() if everything or r.names or "io.pybuild.base" not in dict(store.images.runtime(r.id).labels)]
    times = {text: store.images.require(text).created for key in ("before", "since") for text in wanted.get(key, ())}
    ages = {text: time.time() - age(text) for text in wanted.get("until", ())}
    pairs = [(record, stored) for record in records for stored in record.names or ("",)]
    pairs = keep(pairs, wanted, {
        "dangling": lambda pair, value: (not pair[1]) == is_true(value),
        "label": lambda pair, value: label_matches(dict(store.images.runtime(pair[0].id).labels), value),
        "before": lambda pair, value: pair[0].created < times[value],
        "since": lambda pair, value: pair[0].created > times[value],
        "until": lambda pair, value: (seconds_of(pair[0].created) or 0) < ages[value],
        "reference": lambda pair, value: bool(pair[1]) and _named(pair[1], value)})
    if name:
        pairs = [pair for pair in pairs if pair[1] and _named(pair[1], name)]
    return pairs


def _named(stored: str, pattern: str) -> bool:
    from pybuild.output.filters import matches
    from store.reference import parse_reference

    reference = parse_reference(stored)
    names = {reference.repository(), reference.familiar(), reference.name, str(reference)}
    return any(matches(pattern, n) for n in names)


def _row(store: "Store", record: "ImageRecord", reference: "object", no_trunc: bool) -> "Row":
    from pybuild.output.units import size
    from store.reference import Reference

    repository = tag = digest = "<none>"
    if isinstance(reference, Reference):
        repository, tag = reference.repository(), reference.tag or "<none>"
        digest = reference.digest or store.images.target(str(reference)) or "<none>"
    return {"ID": record.id if no_trunc else record.id.removeprefix("sha256:")[:12], "Repository": repository, "Tag": tag, "Digest": digest,
            "CreatedAt": created_at(record.created), "CreatedSince": since(record.created), "Size": size(record.size),
            "VirtualSize": size(record.size), "Containers": str(len(store.images.users(record.id))), "SharedSize": "N/A", "UniqueSize": "N/A",
            "Platform": record.platform}


def seconds_of(created: str) -> "float | None":
    """An RFC 3339 time as seconds since the epoch; None for none, and for Go's zero time."""
    from datetime import datetime

    try:
        moment = datetime.fromisoformat(created)
    except ValueError:
        try:
            moment = datetime.fromisoformat(created[:19] + "+00:00")         # nanoseconds
        except ValueError:
            return None
    return moment.timestamp() if moment.year > 1 and moment.tzinfo else None


def created_at(created: str) -> str:
    seconds = seconds_of(created)
    return "0001-01-01 00:00:00 +0000 UTC" if seconds is None else time.strftime("%Y-%m-%d %H:%M:%S +0000 UTC", time.gmtime(seconds))


def since(created: str) -> str:
    from pybuild.output.units import ago

    seconds = seconds_of(created)
    return "N/A" if seconds is None else f"{ago(time.time() - seconds)} ago"
