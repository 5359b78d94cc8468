"""`pyup network inspect`: networks as JSON with docker's field names."""

import sys

from pybuild.option import FLAG, VALUE, Operand, Option, Usage
from pybuild.scanner import Options
from pybuild.stack.network.opening import networks

USAGE = Usage("Show all there is to know of networks.", "pyup network inspect --format '{{range .Containers}}{{.Name}} {{end}}' web",
              (Operand("networks", "+", "names or IDs"),),
              (Option("-f --format", VALUE, "json, or a Go template run on each network", "FORMAT"),
               Option("-v --verbose", FLAG, "kept for docker's sake: there is no more to show")))


def main(options: Options) -> int:
    from pybuild.output.errors import report
    from pybuild.output.listing import show_one
    from runner.agent.document import document
    from runner.errors import RunError

    status, shown = 0, []
    with networks(options) as found:
        members = found.members()
        for name in options.networks:
            try:
                shown.append(document(found.records.require(name), members))
            except RunError as error:
                status = report(error, debug=options.debug)
    if options.format in (None, "", "json"):
        print(show_one(shown, options.format))
    else:
        for one in shown:
            print(show_one(one, options.format))
    sys.stdout.flush()
    return status
