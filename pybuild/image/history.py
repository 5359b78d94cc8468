"""`pybuild history`: the steps that made an image, newest first."""

from pybuild.image.images import seconds_of, since
from pybuild.option import FLAG, VALUE, Operand, Option, Usage
from pybuild.place import open_store
from pybuild.scanner import Options

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pybuild.output.listing import Row
    from store.store import Store

USAGE = Usage("Show how an image was made, newest step first.", "pybuild history --no-trunc guestbook",
              (Operand("image", "1", "name or ID"),),
              (Option("-H --human", FLAG, "sizes and dates for people", default="true"),
               Option("-q --quiet", FLAG, "print IDs only"),
               Option("--no-trunc", FLAG, "print everything in full"),
               Option("--format", VALUE, "table, json, or a Go template", "FORMAT")))


def main(options: Options) -> int:
    from pybuild.output.listing import show

    with open_store(options) as store:
        rows = list_rows(store, options.image, human=options.human, no_trunc=options.no_trunc)
    when = ("CREATED", "CreatedSince") if options.human else ("CREATED AT", "CreatedAt")
    columns = (("IMAGE", "ID"), when, ("CREATED BY", "CreatedBy"), ("SIZE", "Size"), ("COMMENT", "Comment"))
    show(rows, columns, format=options.format, quiet="ID" if options.quiet else "")
    return 0


def list_rows(store: "Store", name: str, *, human: bool, no_trunc: bool) -> "list[Row]":
    from pybuild.output.units import size

    record = store.images.require(name)
    layers = list(store.images.layers(record.id))[::-1]
    entries = list(store.images.config(record.id).history or ())[::-1]
    rows: list[Row] = []
    for index, entry in enumerate(entries):
        count = 0 if entry.empty_layer or not layers else layers.pop(0).size
        made_by = entry.created_by or ""
        image = record.id if index == 0 else "<missing>"
        rows.append({
            "ID": image if no_trunc else image.removeprefix("sha256:")[:12], "CreatedAt": _rfc3339(entry.created or ""),
            "CreatedSince": since(entry.created or ""), "CreatedBy": made_by if no_trunc or len(made_by) <= 45 else made_by[:44] + "\u2026",
            "Size": size(count) if human else str(count), "Comment": entry.comment or ""})
    return rows


def _rfc3339(created: str) -> str:
    import time

    seconds = seconds_of(created)
    return "" if seconds is None else time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))
