"""`pyup create`: make what the files want, and start nothing."""

from pybuild.option import Operand, Usage
from pybuild.scanner import Options
from pybuild.stack.converging import Failed, tell
from pybuild.stack.project import printer, stack
from pybuild.stack.up import MAKING, converging

USAGE = Usage("Create containers, and start none.", "pyup create --build web",
              (Operand("services", "*", "only these, and those they depend on"),), MAKING)


def main(options: Options) -> int:
    options.no_start = True
    with stack(options, options.services, files=True, locked=True) as it:
        show = printer(options, it.environment)
        try:
            way = converging(it, options, show, planning=it.said.dry_run)
            if it.said.dry_run:
                from pybuild.stack.plan import show as show_plan

                show_plan(way.plan())
                return 0
            way.run()
        except Failed as error:
            tell(error.failures, it, show)
            return 1
        finally:
            show.close()
        return 0
