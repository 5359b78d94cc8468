"""`pyup version`."""

from pybuild.option import FLAG, VALUE, Option, Usage
from pybuild.scanner import Options
from pybuild.version import VERSION
from pybuild.version import main as show_all

USAGE = Usage("Show the version.", "pyup version --short", (),
              (Option("-f --format", VALUE, "pretty or json", "FORMAT", "pretty", choices=("pretty", "json")),
               Option("--short", FLAG, "nothing but the number")))


def main(options: Options) -> int:
    if options.short:
        print(VERSION)
    elif options.format == "json":
        print(f'{{"version":"{VERSION}"}}')
    else:
        return show_all(options)
    return 0
