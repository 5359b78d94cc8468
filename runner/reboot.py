"""After the machine was started: which containers are to run again, by their restart policies, and starting them, in the order of what they need."""

from runner import labels
from runner.errors import RunError
from runner.state import State, boot_id
from runner.upkeep import Restart
from sandbox.errors import SandboxError
from store.errors import StoreError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from runner.container import Container
    from runner.engine import Engine


def is_due(policy: Restart, state: State, boot: str) -> bool:
    """Whether a container that has not run since the machine was started (`boot`) is to. As docker when its daemon starts."""
    if state.is_running or not state.started_at or state.boot == boot:
        return False
    if policy.name == "always":
        return True
    if policy.name == "unless-stopped":
        return not state.manual
    return policy.name == "on-failure" and not state.manual and state.exit_code != 0


def recover(engine: "Engine") -> "Iterator[tuple[Container, Exception | None]]":
    """Start those that are due; what was started, each with what went wrong, as it happens."""
    boot = boot_id()
    due = [one for one in reversed(engine.records.containers()) if is_due(one.spec.restart, engine.state(one), boot)]
    for container in in_order(due):
        failure: Exception | None = None
        try:
            contact = engine.start(container)
            if contact:
                contact.close()
        except (RunError, SandboxError, StoreError, OSError) as error:
            failure = error
        yield container, failure


def in_order(containers: "Sequence[Container]") -> "list[Container]":
    """Each after those whose namespaces it shares, and those of services that its own depends on; else as they are given. Pure."""
    by_id = {one.id: one for one in containers}
    by_service: "dict[tuple[str, str], list[Container]]" = {}
    for one in containers:
        own = dict(one.spec.labels)
        if labels.SERVICE in own:
            by_service.setdefault((own.get(labels.PROJECT, ""), own[labels.SERVICE]), []).append(one)

    def needs(one: "Container") -> "Iterator[Container]":
        spec, own = one.spec, dict(one.spec.labels)
        yield from (by_id[mode[10:]] for mode in (spec.network_mode, spec.pid_mode, spec.ipc_mode)
                    if mode.startswith("container:") and mode[10:] in by_id)
        for service, _, _ in labels.parse_dependencies(own.get(labels.DEPENDS_ON, "")):
            yield from by_service.get((own.get(labels.PROJECT, ""), service), ())

    found: "list[Container]" = []
    begun: "set[str]" = set()                             # placed, or, in a circle that nobody can satisfy, about to be
    for one in containers:
        below = [] if one.id in begun else [(one, needs(one))]
        begun.add(one.id)
        while below:
            last, rest = below[-1]
            following = next((other for other in rest if other.id not in begun), None)
            if following is None:
                found.append(last)
                below.pop()
            else:
                begun.add(following.id)
                below.append((following, needs(following)))
    return found
