"""`pyup network disconnect`: take a container off a network."""

from pybuild.option import FLAG, Operand, Option, Usage
from pybuild.scanner import Options
from pybuild.stack.network.opening import networks
from pybuild.stack.opening import opened

USAGE = Usage("Take a container off a network, whether it runs or not.", "pyup network disconnect web postgres",
              (Operand("network", "1", "name or ID of the network"), Operand("container", "1", "name or ID of the container")),
              (Option("-f --force", FLAG, "fine if it is not on the network"),))


def main(options: Options) -> int:
    from runner.joining import disconnect

    with networks(options) as found, opened(options) as engine:
        disconnect(engine, found.agent, found.records, engine.find(options.container), options.network, force=options.force)
    return 0
