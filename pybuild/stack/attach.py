"""`pyup attach`: the output of a service's container here, our input and signals to it."""

from pybuild.option import COUNT, FLAG, VALUE, Operand, Option, Usage
from pybuild.scanner import Options
from pybuild.stack.project import stack

USAGE = Usage("Attach to a running container of a service.", "pyup attach --no-stdin web", (Operand("service", "1", "which service"),),
              (Option("--detach-keys", VALUE, "keys that let go of it", "KEYS", "ctrl-p,ctrl-q"),
               Option("--index", COUNT, "the container with this number", "N", "0"),
               Option("--no-stdin", FLAG, "pass no input on"),
               Option("--sig-proxy", FLAG, "pass signals on to it", default="true")))


def main(options: Options) -> int:
    from pybuild.stack.container import attach

    with stack(options, owner=False) as it:
        options.container = it.one(options.service, options.index).id
    return attach.main(options)
