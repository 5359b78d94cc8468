"""`pyup container top`: the processes of a container, as the host's `ps` shows them."""

from pybuild.option import Operand, Usage
from pybuild.scanner import Options
from pybuild.stack.opening import opened

USAGE = Usage("Show the processes of a container.", "pyup container top web -o pid,user,args",
              (Operand("container", "1", "name or ID"), Operand("options", "...", "options of ps (default: -ef)")), stop_early=True)


def main(options: Options) -> int:
    from pybuild.output.listing import table
    from runner.usage import top

    with opened(options) as engine:
        titles, rows = top(engine, engine.find(options.container), tuple(options.options))
    print("\n".join(table([titles, *rows])))
    return 0
