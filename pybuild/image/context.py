"""`pybuild context ls`: which files of a directory a build could see, and which pattern of the ignore file decided."""

import os
import stat

from pybuild.option import FLAG, VALUE, Operand, Option, Usage
from pybuild.scanner import Options

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from builder.ignore import Patterns
    from pybuild.output.listing import Row

USAGE = Usage("List what of a build context would be sent, and which pattern decided.", "pybuild context ls --ignored .",
              (Operand("context", "?", "the directory (default: .)"),),
              (Option("-f --file", VALUE, "the Dockerfile: its own ignore file counts before the context's", "FILE"),
               Option("--ignored", FLAG, "list what is left out instead"),
               Option("-a --all", FLAG, "list both"),
               Option("-q --quiet", FLAG, "print paths only"),
               Option("--format", VALUE, "table, json, or a Go template", "FORMAT")))


def main(options: Options) -> int:
    from builder.errors import BuildError, ContextMissing
    from builder.ignore import BadPattern, parse
    from builder.request import read_ignore
    from pybuild.output.listing import show

    context = options.context or "."
    if os.path.exists(context) and not os.path.isdir(context):
        raise BuildError(f"the build context `{context}` is no directory")
    if not os.path.isdir(context):
        raise ContextMissing(context)
    name, data = read_ignore(context, options.file or os.path.join(context, "Dockerfile"))
    try:
        patterns = parse(data.decode("utf-8", "surrogateescape"))
    except BadPattern as error:
        error.message = f"{name}: {error.message}"
        raise
    rows = (row for row in walk(context, patterns) if options.all or row["Sent"] != options.ignored)
    show(rows, (("PATH", "Path"), ("SIZE", "Size"), ("SENT", "Sent"), ("PATTERN", "Pattern"), ("LINE", "Line")), format=options.format,
         quiet="Path" if options.quiet else "")
    return 0


def walk(context: str, patterns: "Patterns") -> "Iterator[Row]":
    """A row for each file and link, and for each directory that is left out whole; sorted. Links are not followed."""
    from builder.ignore import matches, may_contain

    ahead = [""]
    while ahead:
        directory = ahead.pop()
        inner: list[str] = []
        for name in sorted(os.listdir(os.path.join(context, directory))):
            path = f"{directory}/{name}" if directory else name
            status = os.lstat(os.path.join(context, path))
            left_out = matches(patterns, path)
            if stat.S_ISDIR(status.st_mode):
                if not left_out or may_contain(patterns, path):
                    inner.append(path)
                    continue
                path += "/"
            yield _row(path, status, patterns, not left_out)
        ahead += reversed(inner)


def _row(path: str, status: os.stat_result, patterns: "Patterns", sent: bool) -> "Row":
    from builder.ignore import deciding

    pattern = deciding(patterns, path.rstrip("/"))
    size = status.st_size if stat.S_ISREG(status.st_mode) else 0
    return {"Path": path.encode("utf-8", "surrogateescape").decode("utf-8", "replace"), "Size": size, "Sent": sent,
            "Pattern": pattern.text if pattern else "", "Line": pattern.line if pattern else ""}
