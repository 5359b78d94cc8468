"""`pyup pause`: freeze every process of containers."""

from pybuild.option import Operand, Usage
from pybuild.scanner import Options
from pybuild.stack.each import on_each
from pybuild.stack.project import printer, stack

USAGE = Usage("Freeze every process of containers.", "pyup pause web", (Operand("services", "*", "only these"),))


def main(options: Options) -> int:
    from runner.progress import PAUSED, PAUSING

    with stack(options, options.services, owner=False) as it:
        chosen = [one for one in it.chosen() if one.status == "running"]
        return on_each(it, chosen, it.engine.pause, (PAUSING, PAUSED), printer(options, it.environment))
