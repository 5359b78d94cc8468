"""`pyup network connect`: put a container on one more network."""

from pybuild.option import LIST, VALUE, Operand, Option, Usage
from pybuild.scanner import Misuse, Options
from pybuild.stack.network.opening import networks
from pybuild.stack.opening import opened

USAGE = Usage(
    "Put a container on one more network, whether it runs or not.", "pyup network connect --alias db web postgres",
    (Operand("network", "1", "name or ID of the network"), Operand("container", "1", "name or ID of the container")),
    (Option("--alias", LIST, "further name on the network", "NAME"),
     Option("--ip", VALUE, "address of IPv4", "ADDRESS"),
     Option("--ip6", VALUE, "address of IPv6", "ADDRESS"),
     Option("--link", LIST, "another container, under a name for this one alone", "CONTAINER[:NAME]"),
     Option("--link-local-ip", LIST, "link-local address", "ADDRESS"),
     Option("--gw-priority", VALUE, "the network with the highest one has the default route", "NUMBER", "0"),
     Option("--driver-opt", LIST, "option of the driver", "NAME=VALUE")))


def main(options: Options) -> int:
    from pybuild.stack.container.words import pairs
    from runner.endpoint import Endpoint
    from runner.joining import connect

    links = tuple((alias or name, name) for name, _, alias in (word.partition(":") for word in options.link))
    if not options.gw_priority.removeprefix("-").isdigit():
        raise Misuse(f"`--gw-priority {options.gw_priority}` is no number")
    endpoint = Endpoint(options.network, tuple(options.alias), options.ip or "", options.ip6 or "", tuple(options.link_local_ip),
                        gw_priority=int(options.gw_priority), links=links, driver_opts=pairs(options.driver_opt, "--driver-opt"))
    with networks(options) as found, opened(options) as engine:
        connect(engine, found.agent, found.records, engine.find(options.container), endpoint)
    return 0
