"""Which containers there are, filtered as docker's `ps` does. In: filters by key; out: containers with their state, newest first."""

from kernel.value import Value
from runner.container import Container, process_of
from runner.errors import InvalidOption
from runner.membership import Memberships
from runner.state import State
from runner.upkeep import CREATED, DEAD, EXITED, PAUSED, REMOVING, RESTARTING, RUNNING

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from runner.engine import Engine

    Filters = Mapping[str, "list[str]"]

FILTERS = ("ancestor", "before", "exited", "expose", "health", "id", "label", "name", "network", "publish", "since", "status", "volume")
_STATES = (CREATED, RUNNING, PAUSED, RESTARTING, REMOVING, EXITED, DEAD)
_HEALTH = ("none", "starting", "healthy", "unhealthy")


class Summary(Value):
    container: Container
    state: State


def list_containers(engine: "Engine", *, everything: bool = False, last: int = 0, filters: "Filters | None" = None) -> "list[Summary]":
    """Running ones, or with `everything` all; `last` is a number of newest ones, whatever their state. Values of one key are alternatives.

    Raises InvalidOption for a filter that there is not, or a value that cannot be.
    """
    wanted = dict(filters or {})
    tests = _tests(engine, wanted)
    memberships = Memberships(engine)
    found = []
    for container in engine.records.containers():
        state = memberships.apply(container, engine.state(container))
        if engine.records.container(container.id) is None:
            continue                                      # its end was to be the end of it, and was only now seen
        summary = Summary(container, state)
        if not (everything or last or "status" in wanted or state.is_running):
            continue
        if all(any(tests[key](summary, value) for value in values) if key != "label" else all(tests[key](summary, value) for value in values)
               for key, values in wanted.items()):
            found.append(summary)
        if last and len(found) == last:
            break
    return found


def _tests(engine: "Engine", filters: "Filters") -> "dict[str, Callable[[Summary, str], bool]]":
    unknown = next((key for key in filters if key not in FILTERS), "")
    if unknown:
        raise InvalidOption("filter", unknown, "there is none of that name", f"there are {', '.join(FILTERS)}")
    for key, allowed in (("status", _STATES), ("health", _HEALTH)):
        wrong = next((value for value in filters.get(key, ()) if value not in allowed), "")
        if wrong:
            raise InvalidOption(f"filter {key}", wrong, f"is none of {', '.join(allowed)}")
    times = {value: engine.find(value).created for key in ("before", "since") for value in filters.get(key, ())}
    ancestors = {value: _ancestor(engine, value) for value in filters.get("ancestor", ())}
    return {
        "ancestor": lambda one, value: one.container.image_id in ancestors[value] or one.container.spec.image == value,
        "before": lambda one, value: one.container.created < times[value],
        "since": lambda one, value: one.container.created > times[value],
        "exited": lambda one, value: not one.state.is_running and one.state.started_at > 0 and str(one.state.exit_code) == value,
        "expose": lambda one, value: _has_port(process_of(one.container.spec, one.container.runtime).exposed, value),
        "publish": lambda one, value: _has_port(tuple(f"{port.host_port}/{port.protocol}" for port in one.state.ports), value),
        "health": lambda one, value: (one.state.health.status if one.state.health else "none") == value,
        "id": lambda one, value: one.container.id.startswith(value),
        "label": lambda one, value: label_matches(dict(process_of(one.container.spec, one.container.runtime).labels), value),
        "name": lambda one, value: name_matches(one.container.name, value),
        "network": lambda one, value: _on_network(one, value),
        "status": lambda one, value: one.state.status == value,
        "volume": lambda one, value: any(value in (mount.source, mount.target) for mount in one.container.spec.mounts),
    }


def _ancestor(engine: "Engine", name: str) -> "tuple[str, ...]":
    record = engine.store.images.resolve(name)
    if record is None:
        return ()
    own = tuple(layer.diff_id for layer in engine.store.images.layers(record.id))
    heirs = (image.id for image in engine.store.images.list() if tuple(
        layer.diff_id for layer in engine.store.images.layers(image.id))[:len(own)] == own)
    return (record.id, *heirs)


def _has_port(ports: "tuple[str, ...]", wanted: str) -> bool:
    """wanted: "80", "80/tcp", "8000-8100/udp"."""
    span, _, protocol = wanted.partition("/")
    first, _, last = span.partition("-")
    if not first.isdigit() or (last and not last.isdigit()):
        raise InvalidOption("port filter", wanted, "is no port, nor a range of them")
    for port in ports:
        number, _, kind = port.partition("/")
        if int(first) <= int(number) <= int(last or first) and kind == (protocol or "tcp"):
            return True
    return False


def _on_network(one: Summary, value: str) -> bool:
    connections = one.state.connections if one.state.is_running else ()
    names = {name for connection in connections for name in (connection.network, connection.network_id)}
    asked = {endpoint.network for endpoint in one.container.spec.endpoints} or {one.container.spec.network_mode.replace("default", "bridge")}
    return value in names | asked or any(len(value) >= 4 and connection.network_id.startswith(value) for connection in connections)


def name_matches(name: str, pattern: str) -> bool:
    """docker's: a regular expression that may be found anywhere; a leading slash is the name's."""
    if pattern.replace("-", "").replace("_", "").isalnum():
        return pattern in name
    import re

    try:
        return re.search(pattern, name) is not None or re.search(pattern, f"/{name}") is not None
    except re.error as error:
        raise InvalidOption("name filter", pattern, f"is no regular expression: {error}") from error


def label_matches(labels: "Mapping[str, str]", wanted: str) -> bool:
    """`key` or `key=value`."""
    key, equals, value = wanted.partition("=")
    return key in labels and (not equals or labels[key] == value)
