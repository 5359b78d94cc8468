"""`pyup unpause`: let frozen containers go on."""

from pybuild.option import Operand, Usage
from pybuild.scanner import Options
from pybuild.stack.each import on_each
from pybuild.stack.project import printer, stack

USAGE = Usage("Let frozen containers go on.", "pyup unpause web", (Operand("services", "*", "only these"),))


def main(options: Options) -> int:
    from runner.progress import UNPAUSED, UNPAUSING

    with stack(options, options.services, owner=False) as it:
        chosen = [one for one in it.chosen() if one.status == "paused"]
        return on_each(it, chosen, it.engine.unpause, (UNPAUSING, UNPAUSED), printer(options, it.environment))
