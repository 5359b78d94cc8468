"""`pyup container wait`: block until containers end, and print their exit codes."""

from pybuild.option import VALUE, Operand, Option, Usage
from pybuild.scanner import Options
from pybuild.stack.container.several import on_each
from pybuild.stack.opening import opened

USAGE = Usage(
    "Wait until containers end, and print their exit codes.", "pyup container wait job",
    (Operand("containers", "+", "names or IDs"),),
    (Option("--condition", VALUE, "what to wait for", choices=("not-running", "next-exit", "removed"), default="not-running"),))


def main(options: Options) -> int:
    with opened(options) as engine:
        return on_each(engine, options, lambda container: print(engine.wait(container, options.condition)[0], flush=True), quiet=True)
