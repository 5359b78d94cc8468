"""`pyup system start`: after the machine was started, start the containers whose restart policies say so. For a unit of the init system."""

import sys

from pybuild.option import Usage
from pybuild.scanner import Options
from pybuild.stack.opening import opened

USAGE = Usage(
    "Start every container that is due: that ran when the machine went down, and whose restart policy is not `no`.\n"
    "One that was stopped by hand is due only with the policy `always`. Done twice, it does nothing.",
    "pyup system start")


def main(options: Options) -> int:
    from runner.reboot import recover

    failed = False
    with opened(options, owner=True) as engine:
        for container, failure in recover(engine):
            if failure is None:
                print(container.name, flush=True)
                continue
            from pybuild.output.errors import text

            print(text(failure), file=sys.stderr)
            failed = True
    return int(failed)
