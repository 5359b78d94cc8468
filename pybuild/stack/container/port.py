"""`pyup container port`: where the ports of a container are published."""

from pybuild.option import Operand, Usage
from pybuild.scanner import Misuse, Options
from pybuild.stack.opening import opened

TYPE_CHECKING = False
if TYPE_CHECKING:
    from runner.endpoint import PortMapping

USAGE = Usage("Show where ports are published.", "pyup container port web 80/tcp",
              (Operand("container", "1", "name or ID"), Operand("port", "?", "this one only: PORT[/PROTOCOL]")))


def main(options: Options) -> int:
    with opened(options) as engine:
        container = engine.find(options.container)
        ports = sorted(engine.state(container).ports, key=lambda one: (one.container_port, one.protocol, ":" in one.host_ip))
    if options.port is None:
        for port in ports:
            print(f"{port.container_port}/{port.protocol} -> {_address(port)}")
        return 0
    number, _, protocol = options.port.partition("/")
    if not number.isdigit():
        raise Misuse(f"`{options.port}` is no PORT[/PROTOCOL]")
    wanted = [port for port in ports if port.container_port == int(number) and port.protocol == (protocol or "tcp")]
    if not wanted:
        from runner.errors import Missing

        raise Missing("published port", f"{number}/{protocol or 'tcp'}")
    for port in wanted:
        print(_address(port))
    return 0


def _address(port: "PortMapping") -> str:
    host = port.host_ip or "0.0.0.0"
    return f"[{host}]:{port.host_port}" if ":" in host else f"{host}:{port.host_port}"
