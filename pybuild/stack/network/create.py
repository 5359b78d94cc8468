"""`pyup network create`: make a network."""

from pybuild.option import FLAG, LIST, VALUE, Operand, Option, Usage
from pybuild.scanner import Misuse, Options
from pybuild.stack.network.opening import networks

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from runner.agent.address import Subnet
    from runner.network import Pool

USAGE = Usage(
    "Make a network.", "pyup network create --subnet 10.5.0.0/24 web",
    (Operand("name", "1", "its name"),),
    (Option("-d --driver", VALUE, "bridge, macvlan or ipvlan", "DRIVER", "bridge"),
     Option("-o --opt", LIST, "option of the driver: com.docker.network.driver.mtu, com.docker.network.bridge.name, ..", "NAME=VALUE"),
     Option("--subnet", LIST, "subnet, for IPv4 or IPv6", "SUBNET"),
     Option("--gateway", LIST, "address of the gateway in a subnet", "ADDRESS"),
     Option("--ip-range", LIST, "part of a subnet that addresses are given out of", "SUBNET"),
     Option("--aux-address", LIST, "address that is never given out", "NAME=ADDRESS"),
     Option("--internal", FLAG, "without a way to the outside, and without published ports"),
     Option("--ipv4", FLAG, "give addresses of IPv4", "", "true"),
     Option("--ipv6", FLAG, "give addresses of IPv6"),
     Option("--attachable", FLAG, "kept for docker's sake: every network is"),
     Option("--ipam-driver", VALUE, "only `default`", "DRIVER", "default"),
     Option("--ipam-opt", LIST, "option of the IPAM driver", "NAME=VALUE"),
     Option("--label", LIST, "label", "NAME[=VALUE]")))


def main(options: Options) -> int:
    from pybuild.stack.container.words import pairs
    from runner.network import NetworkSpec

    spec = NetworkSpec(
        options.name, options.driver, pools(options), options.internal, options.attachable, options.ipv4, options.ipv6,
        pairs(options.opt, "--opt"), pairs(options.label, "--label"), options.ipam_driver, pairs(options.ipam_opt, "--ipam-opt"))
    with networks(options) as found:
        print(found.agent.create(spec).id)
    return 0


def pools(options: Options) -> "tuple[Pool, ...]":
    """Subnets with what belongs to each: by containment, as docker sorts them. Raises Misuse."""
    from runner.agent.address import number_of, parse_subnet
    from runner.network import Pool

    try:
        found: "list[tuple[Subnet, dict[str, Any]]]" = [(parse_subnet(word), {"subnet": word}) for word in options.subnet]
        aux = [(name, address) for name, _, address in (word.partition("=") for word in options.aux_address)]
        words = [("gateway", word, word) for word in options.gateway]
        words += [("ip_range", word, word.partition("/")[0]) for word in options.ip_range]
        words += [("aux_addresses", name, address) for name, address in aux]
        for key, word, address in words:
            number, six = number_of(address), ":" in address
            pool = next((pool for subnet, pool in found if (subnet.family == 6) == six and subnet.holds(number)), None)
            if pool is None:
                raise Misuse(f"`{address}` is in none of the subnets", "name its subnet with `--subnet`")
            if key == "aux_addresses":
                pool.setdefault(key, ())
                pool[key] = (*pool[key], (word, address))
            elif key in pool:
                raise Misuse(f"subnet `{pool['subnet']}` has two of `--{key.replace('_', '-')}`")
            else:
                pool[key] = word
    except ValueError as error:
        raise Misuse(str(error)) from None
    return tuple(Pool(**pool) for _, pool in found)
