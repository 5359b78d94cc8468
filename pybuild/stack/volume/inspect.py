"""`pyup volume inspect`: volumes as JSON with docker's field names."""

import sys

from pybuild.option import VALUE, Operand, Option, Usage
from pybuild.scanner import Options
from pybuild.stack.opening import opened

USAGE = Usage("Show all there is to know of volumes.", "pyup volume inspect --format '{{.Mountpoint}}' data",
              (Operand("volumes", "+", "names"),),
              (Option("-f --format", VALUE, "json, or a Go template run on each volume", "FORMAT"),))


def main(options: Options) -> int:
    from pybuild.output.errors import report
    from pybuild.output.listing import show_one
    from runner.errors import Missing
    from runner.inspection import inspect_volume

    status, found = 0, []
    with opened(options) as engine:
        for name in options.volumes:
            try:
                found.append(inspect_volume(engine, engine.volumes.require(name)))
            except Missing as error:
                status = report(error)
    if options.format in (None, "", "json"):
        print(show_one(found, options.format))
    else:
        for document in found:
            print(show_one(document, options.format))
    sys.stdout.flush()
    return status
