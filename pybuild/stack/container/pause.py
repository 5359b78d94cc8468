"""`pyup container pause`: freeze every process of containers."""

from pybuild.option import Operand, Usage
from pybuild.scanner import Options
from pybuild.stack.container.several import on_each
from pybuild.stack.opening import opened

USAGE = Usage("Freeze every process of running containers.", "pyup container pause web", (Operand("containers", "+", "names or IDs"),))


def main(options: Options) -> int:
    with opened(options) as engine:
        return on_each(engine, options, engine.pause)
