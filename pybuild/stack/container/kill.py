"""`pyup container kill`: send containers a signal."""

from pybuild.option import VALUE, Operand, Option, Usage
from pybuild.scanner import Options
from pybuild.stack.container.several import on_each
from pybuild.stack.opening import opened

USAGE = Usage(
    "Send running containers a signal.", "pyup container kill -s HUP web",
    (Operand("containers", "+", "names or IDs"),),
    (Option("-s --signal", VALUE, "which one", "SIGNAL", "KILL"),))


def main(options: Options) -> int:
    with opened(options) as engine:
        return on_each(engine, options, lambda container: engine.kill(container, options.signal))
