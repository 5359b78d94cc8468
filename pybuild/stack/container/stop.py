"""`pyup container stop`: ask containers to end, and make them after a while."""

from pybuild.option import COUNT, VALUE, Operand, Option, Usage
from pybuild.scanner import Options
from pybuild.stack.container.several import on_each
from pybuild.stack.opening import opened

USAGE = Usage(
    "Stop running containers.", "pyup container stop -t 30 web",
    (Operand("containers", "+", "names or IDs"),),
    (Option("-t --timeout --time", COUNT, "seconds until it is killed; -1: never (default: what the container says, else 10)", "SECONDS"),
     Option("-s --signal", VALUE, "signal that asks it to end (default: what the container says, else SIGTERM)", "SIGNAL")))


def main(options: Options) -> int:
    timeout_s = None if options.time is None else float(options.time)
    with opened(options) as engine:
        return on_each(engine, options, lambda container: engine.stop(container, signal=options.signal or "", timeout_s=timeout_s))
