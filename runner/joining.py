"""A container put on one more network, or taken off one, for good: now if it runs, and whenever it is started again."""

from runner.agent.errors import AlreadyConnected, NotConnected
from runner.endpoint import Endpoint
from runner.errors import Conflict

TYPE_CHECKING = False
if TYPE_CHECKING:
    from runner.agent.client import Agent
    from runner.agent.records import Networks
    from runner.agentless import Agentless
    from runner.container import Container
    from runner.endpoint import Connection
    from runner.engine import Engine
    from runner.network import NetworkRecord

_BRIDGE, _DEFAULT, _NONE = "bridge", "default", "none"
_SHARED = ("host", "container:")


def connect(engine: "Engine", agent: "Agent | Agentless", records: "Networks", container: "Container", endpoint: Endpoint) -> None:
    """Raises NetworkMissing, AlreadyConnected, Missing, Conflict, and what the agent says about addresses."""
    _refuse_shared(container)
    record = records.require(endpoint.network)
    present = _endpoints(container)
    if _find(present, record) is not None:
        raise AlreadyConnected(container.name, record.name)
    for _, other in endpoint.links:
        engine.find(other)
    endpoint = endpoint._replace(network=record.name)
    if engine.state(container).is_running:
        try:
            connection = agent.connect(container.id, endpoint)
        except NotConnected as error:                     # it was started without any
            help = "stop it first; it has the network when it is started again"
            raise Conflict("container", container.name, "runs without any network", help) from error
        _add_host(engine, container, connection)
    _keep(engine, container, (*present, endpoint))


def disconnect(engine: "Engine", agent: "Agent | Agentless", records: "Networks", container: "Container", network: str, *,
               force: bool = False) -> None:
    """force: fine if it is not on the network. Raises NetworkMissing, NotConnected, Conflict."""
    _refuse_shared(container)
    record = records.require(network)
    present = _endpoints(container)
    gone = _find(present, record)
    if gone is None:
        if force:
            return
        raise NotConnected(container.name, record.name)
    if engine.state(container).is_running:
        agent.disconnect(container.id, record.name)
    _keep(engine, container, tuple(one for one in present if one is not gone))


def _refuse_shared(container: "Container") -> None:
    mode = container.spec.network_mode
    if mode.startswith(_SHARED):
        whose = "this machine's network" if mode == "host" else "the network of another container"
        raise Conflict("container", container.name, f"uses {whose}, and can have no other")


def _endpoints(container: "Container") -> tuple[Endpoint, ...]:
    """Those it has, said or not."""
    if container.spec.network_mode == _NONE:
        return ()
    return container.spec.endpoints or (Endpoint(_BRIDGE),)


def _find(endpoints: tuple[Endpoint, ...], record: "NetworkRecord") -> Endpoint | None:
    return next((one for one in endpoints if one.network == record.name or (len(one.network) >= 4 and record.id.startswith(one.network))), None)


def _keep(engine: "Engine", container: "Container", endpoints: tuple[Endpoint, ...]) -> None:
    mode = _NONE if not endpoints else endpoints[0].network if container.spec.network_mode in (_NONE, _DEFAULT) else container.spec.network_mode
    engine.records.replace(container._replace(spec=container.spec._replace(endpoints=endpoints, network_mode=mode)))


def _add_host(engine: "Engine", container: "Container", connection: "Connection") -> None:
    """Its new address beside its host name, in the file that it sees."""
    name = container.spec.hostname or container.short_id
    with open(f"{engine.place(container.id).path}/hosts", "a") as file:
        file.writelines(f"{address}\t{name}\n" for address in (connection.ipv4_address, connection.ipv6_address) if address)
