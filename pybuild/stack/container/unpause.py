"""`pyup container unpause`: let frozen containers go on."""

from pybuild.option import Operand, Usage
from pybuild.scanner import Options
from pybuild.stack.container.several import on_each
from pybuild.stack.opening import opened

USAGE = Usage("Let paused containers go on.", "pyup container unpause web", (Operand("containers", "+", "names or IDs"),))


def main(options: Options) -> int:
    with opened(options) as engine:
        return on_each(engine, options, engine.unpause)
