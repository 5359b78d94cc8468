"""Rows on stdout: an aligned table, one JSON object a line, or whatever a Go template makes of each row.

A row is a dict with docker's field names (`ID`, `Repository`, ...). Columns say which fields the plain table has, and their headings. A function in
a row is what templates call as a method: `{{.Label "x"}}`.
"""

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import Any

    Row = dict[str, Any]


def show(rows: "Iterable[Row]", columns: "tuple[tuple[str, str], ...]", *, format: str | None = None, quiet: str = "") -> None:
    """Print rows. columns: (heading, field); format: None, "table", "table TEMPLATE", "json" or a template; quiet: print this field only."""
    rows = list(rows)
    if quiet:
        lines = [str(row[quiet]) for row in rows]
    elif not format or format == "table":
        lines = table([[heading for heading, _ in columns], *([text(row[field]) for _, field in columns] for row in rows)])
    elif format == "json":
        from pybuild.output.template import to_json

        lines = [to_json(row) for row in rows]
    else:
        lines = _by_template(rows, dict(columns), format)
    sys.stdout.write("".join(line + "\n" for line in lines))


def show_one(value: "Any", format: str | None) -> str:
    """A document as text: indented JSON, or what the template makes of it."""
    if format in (None, "", "json"):
        import json

        return json.dumps(value, indent=4 if format != "json" else None, ensure_ascii=False, separators=(",", ":") if format == "json" else None)
    from pybuild.output.template import parse, render

    assert format is not None
    return render(parse(format), value, format)


def table(rows: list[list[str]]) -> list[str]:
    """Columns as wide as their widest cell, three spaces apart, nothing after the last. No cell drives the terminal: images say what is in them."""
    if not rows:
        return []
    if not all(cell.isprintable() for row in rows for cell in row):
        from lang.diagnostic import printable

        rows = [[printable(cell) for cell in row] for row in rows]
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return ["   ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() for row in rows]


def labelled(labels: "Mapping[str, str]") -> "Row":
    """The fields of a row that has labels: all of them as one text, and the one of a name."""
    return {"Labels": text(dict(sorted(labels.items()))), "Label": lambda name: labels.get(name, "")}


def text(value: "Any") -> str:
    if isinstance(value, dict):
        return ",".join(f"{k}={v}" for k, v in value.items())
    if isinstance(value, list | tuple):
        return ",".join(str(v) for v in value)
    return str(value)


def _by_template(rows: "list[Row]", columns: "dict[str, str]", format: str) -> list[str]:
    from pybuild.output.template import parse, render

    is_table = format.startswith("table ")
    template = (format[6:] if is_table else format).replace("\\t", "\t").replace("\\n", "\n")
    actions = parse(template)
    lines = [render(actions, row, template) for row in rows]
    if not is_table:
        return lines
    fields = {field for row in rows for field in row} | set(columns.values())
    headings: Row = {field: field.upper() for field in fields} | {field: heading for heading, field in columns.items()}
    headings["Label"] = lambda name: name.rpartition(".")[2].replace("-", " ").replace("_", " ")
    heading = render(actions, headings, template)
    return table([line.split("\t") for line in (heading, *lines)])
