"""`pyup commit`: make an image of what a service's container has become."""

from pybuild.option import COUNT, FLAG, LIST, VALUE, Operand, Option, Usage
from pybuild.scanner import Options
from pybuild.stack.project import stack

USAGE = Usage(
    "Make an image of what a service's container has become.", "pyup commit -c 'CMD [\"serve\"]' web web:patched",
    (Operand("service", "1", "which service"), Operand("name", "?", "name of the image: REPOSITORY[:TAG]")),
    (Option("-a --author", VALUE, "who has made it", "NAME", ""),
     Option("-c --change", LIST, "an instruction that changes its settings, as in a Dockerfile", "INSTRUCTION"),
     Option("--index", COUNT, "the container with this number", "N", "0"),
     Option("-m --message", VALUE, "a line for its history", "TEXT", ""),
     Option("-p --pause", FLAG, "let the container stand still meanwhile", default="true")))


def main(options: Options) -> int:
    from pybuild.stack.container import commit

    with stack(options, owner=False) as it:
        options.container = it.one(options.service, options.index, running=False).id
        if it.said.dry_run:
            print(f"would make {f'the image {options.name}' if options.name else 'an image'} of a container of {options.service}")
            return 0
    return commit.main(options)
