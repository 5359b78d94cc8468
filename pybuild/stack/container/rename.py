"""`pyup container rename`: give a container another name."""

from pybuild.option import Operand, Usage
from pybuild.scanner import Options
from pybuild.stack.opening import opened

USAGE = Usage("Give a container another name.", "pyup container rename swift_heron web",
              (Operand("container", "1", "name or ID"), Operand("name", "1", "its new name")))


def main(options: Options) -> int:
    with opened(options) as engine:
        engine.rename(engine.find(options.container), options.name)
    return 0
