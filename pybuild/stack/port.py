"""`pyup port`: where a port of a service is published."""

from pybuild.option import COUNT, VALUE, Operand, Option, Usage
from pybuild.scanner import Misuse, Options
from pybuild.stack.project import stack

USAGE = Usage("Show where a port is published.", "pyup port web 80",
              (Operand("service", "1", "which service"), Operand("private_port", "1", "the container's port")),
              (Option("--index", COUNT, "of the container with this number", "N", "0"),
               Option("--protocol", VALUE, "tcp or udp", "PROTOCOL", "tcp")))


def main(options: Options) -> int:
    number, _, protocol = options.private_port.partition("/")
    if not number.isascii() or not number.isdigit():
        raise Misuse(f"`{options.private_port}` is no port")
    protocol = protocol or options.protocol
    with stack(options, owner=False) as it:
        container = it.one(options.service, options.index)
        found = [one for one in it.engine.state(container).ports if (one.container_port, one.protocol) == (int(number), protocol)]
        if not found:
            from runner.errors import Missing

            raise Missing("published port", f"{number}/{protocol}", f"`ports:` of service `{options.service}` says which there are")
        port = min(found, key=lambda one: ":" in one.host_ip)
        host = port.host_ip or "0.0.0.0"
        print(f"[{host}]:{port.host_port}" if ":" in host else f"{host}:{port.host_port}")
    return 0
