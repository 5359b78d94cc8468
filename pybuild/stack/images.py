"""`pyup images`: the images of a project's containers."""

import time

from pybuild.option import FLAG, VALUE, Operand, Option, Usage
from pybuild.scanner import Options
from pybuild.stack.project import stack

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pybuild.output.listing import Row
    from runner.present import Seen

USAGE = Usage("List the images of containers.", "pyup images --format json", (Operand("services", "*", "only these"),),
              (Option("--format", VALUE, "table or json", "FORMAT", "table", choices=("table", "json")),
               Option("-q --quiet", FLAG, "print IDs only")))
_COLUMNS = (("CONTAINER", "ContainerName"), ("REPOSITORY", "Repository"), ("TAG", "Tag"), ("PLATFORM", "Platform"), ("IMAGE ID", "ShortID"),
            ("SIZE", "SizeText"), ("CREATED", "Age"))


def main(options: Options) -> int:
    from pybuild.output.listing import show

    with stack(options, options.services, owner=False) as it:
        rows = [_row(it, one) for one in it.chosen(one_off=True)]
    if options.quiet:
        print("".join(f"{id}\n" for id in dict.fromkeys(str(row["ID"]) for row in rows)), end="")
    elif options.format == "json":
        import json

        fields = ("ID", "ContainerName", "Repository", "Tag", "Platform", "Size", "Created")
        print(json.dumps([{key: row[key] for key in fields} for row in rows]))
    else:
        show(rows, _COLUMNS)
    return 0


def _row(it: stack, seen: "Seen") -> "Row":
    from pybuild.output.units import size
    from runner.status import duration_text
    from store.digest import Digest
    from store.errors import StoreError
    from store.reference import parse_reference

    record = it.engine.store.images.record(Digest(seen.image_id))
    try:
        name = parse_reference(seen.image)
        repository, tag = name.familiar().partition("@")[0].removesuffix(f":{name.tag}"), name.tag or "<none>"
    except StoreError:
        repository, tag = "<none>", "<none>"
    created = record.created if record else ""
    return {"ID": seen.image_id, "ShortID": seen.image_id.removeprefix("sha256:")[:12], "ContainerName": seen.name, "Repository": repository,
            "Tag": tag, "Platform": record.platform if record else "", "Size": record.size if record else 0,
            "SizeText": size(record.size) if record else "N/A", "Created": created, "Age": _age(created, duration_text) if created else "N/A"}


def _age(created: str, text: "object") -> str:
    from runner.moment import parse_moment

    return f"{text(time.time() - parse_moment(created) / 1e9)} ago"  # type: ignore[operator]
