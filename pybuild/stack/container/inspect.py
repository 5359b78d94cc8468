"""`pyup container inspect`: a container as one JSON document with docker's field names."""

from pybuild.option import FLAG, VALUE, Operand, Option, Usage
from pybuild.scanner import Options
from pybuild.stack.opening import opened

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

USAGE = Usage(
    "Show all there is to know of containers.", "pyup container inspect --format '{{.State.Status}}' web",
    (Operand("containers", "+", "names or IDs"),),
    (Option("-f --format", VALUE, "json, or a Go template run on each container", "FORMAT"),
     Option("-s --size", FLAG, "also what their files take")))


def main(options: Options) -> int:
    from pybuild.output.listing import show_one
    from pybuild.stack.container.several import on_each
    from runner.inspection import inspect

    found: list[dict[str, Any]] = []
    with opened(options) as engine:
        status = on_each(engine, options, lambda container: found.append(inspect(engine, container, size=options.size)), quiet=True)
    if options.format in (None, "", "json"):
        print(show_one(found, options.format))
    else:
        for document in found:
            print(show_one(document, options.format))
    return status
