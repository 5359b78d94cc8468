"""`pyup container restart`: stop containers, and start them again."""

from pybuild.option import COUNT, VALUE, Operand, Option, Usage
from pybuild.scanner import Options
from pybuild.stack.container.several import on_each
from pybuild.stack.opening import opened

USAGE = Usage(
    "Stop containers and start them again.", "pyup container restart web",
    (Operand("containers", "+", "names or IDs"),),
    (Option("-t --timeout --time", COUNT, "seconds until it is killed; -1: never", "SECONDS"),
     Option("-s --signal", VALUE, "signal that asks it to end", "SIGNAL")))


def main(options: Options) -> int:
    timeout_s = None if options.time is None else float(options.time)
    with opened(options, owner=True) as engine:
        return on_each(engine, options, lambda container: engine.restart(container, signal=options.signal or "", timeout_s=timeout_s))
