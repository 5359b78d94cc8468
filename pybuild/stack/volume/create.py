"""`pyup volume create`: make a volume."""

from pybuild.option import LIST, VALUE, Operand, Option, Usage
from pybuild.scanner import Options
from pybuild.stack.opening import opened

USAGE = Usage(
    "Make a volume; one of that name which is there already is fine.", "pyup volume create data",
    (Operand("name", "?", "its name (default: one is made up)"),),
    (Option("-d --driver", VALUE, "driver", "NAME", "local"),
     Option("-o --opt", LIST, "option of the driver: type, device, o, as mount takes them", "NAME=VALUE"),
     Option("--label", LIST, "label", "NAME[=VALUE]")))


def main(options: Options) -> int:
    from pybuild.stack.container.words import pairs

    with opened(options) as engine:
        volume = engine.volumes.create(options.name or "", driver=options.driver, options=pairs(options.opt, "--opt"),
                                       labels=pairs(options.label, "--label"))
    print(volume.name)
    return 0
