"""`pyup scale`: how many containers services have, until the next `up` that does not say it."""

from pybuild.option import FLAG, Operand, Option, Usage
from pybuild.scanner import Options
from pybuild.stack.converging import Failed, scales, tell
from pybuild.stack.project import printer, stack
from pybuild.stack.up import converging

USAGE = Usage("Change how many containers services have.", "pyup scale web=3 worker=2", (Operand("scale", "+", "SERVICE=N"),),
              (Option("--no-deps", FLAG, "leave the services alone that these depend on"),))


def main(options: Options) -> int:
    services = list(scales(options.scale))
    options.__dict__ |= {"build": False, "no_build": False, "pull": "policy", "quiet_pull": False, "force_recreate": False, "no_recreate": False,
                         "remove_orphans": False, "yes": False}
    with stack(options, services, files=True, locked=True) as it:
        show = printer(options, it.environment)
        try:
            way = converging(it, options, show)
            way.options = way.options._replace(ignore_orphans=True)
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
