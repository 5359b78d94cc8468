"""`pyup network rm`: remove networks."""

from pybuild.option import FLAG, Operand, Option, Usage
from pybuild.scanner import Options
from pybuild.stack.network.opening import networks

USAGE = Usage("Remove networks that no container is on.", "pyup network rm web",
              (Operand("networks", "+", "names or IDs"),), (Option("-f --force", FLAG, "a network that is not there is fine"),))


def main(options: Options) -> int:
    from pybuild.output.errors import report
    from runner.agent.errors import NetworkMissing

    status = 0
    with networks(options) as found:
        for name in options.networks:
            try:
                found.agent.remove(name)
            except Exception as error:
                if not (options.force and isinstance(error, NetworkMissing)):
                    status = max(status, report(error, debug=options.debug))
            else:
                print(name)
    return status
