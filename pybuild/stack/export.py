"""`pyup export`: the files of a service's container as a tar archive."""

from pybuild.option import COUNT, VALUE, Operand, Option, Usage
from pybuild.scanner import Options
from pybuild.stack.project import stack

USAGE = Usage("Write the files of a service's container as a tar archive.", "pyup export -o web.tar web", (Operand("service", "1", "which service"),),
              (Option("--index", COUNT, "the container with this number", "N", "0"),
               Option("-o --output", VALUE, "write to FILE instead of stdout", "FILE")))


def main(options: Options) -> int:
    from pybuild.stack.container import export

    with stack(options, owner=False) as it:
        options.container = it.one(options.service, options.index, running=False).id
    return export.main(options)
