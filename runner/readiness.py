"""Whether containers have come to where somebody waits for them to be: running, healthy, ended well; and what there is to hear of them meanwhile."""

from runner.contact import reach
from runner.container import process_of
from runner.errors import DependencyFailed, ShimLost
from runner.state import HEALTHY, UNHEALTHY
from runner.upkeep import RESTARTING

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from runner.contact import Contact
    from runner.container import Container
    from runner.engine import Engine
    from runner.state import State

READY = "ready"
_OUTPUT_MAX = 200


def verdict(container: "Container", state: "State", condition: str) -> bool:
    """Whether the condition holds: service_healthy, service_completed_successfully, or READY: it runs, and is healthy if that is known, or it
    has done what it had to do once.

    Raises DependencyFailed if it never will.
    """
    if condition == "service_completed_successfully":
        return _completed(container, state)
    has_check = process_of(container.spec, container.runtime).healthcheck is not None
    if condition == "service_healthy" and not has_check:
        raise DependencyFailed(container.name, "has no healthcheck configured", "give the service a `healthcheck`, or wait for `service_started`")
    if state.status == RESTARTING:
        return False
    if condition == READY and not state.is_running and state.started_at and not state.exit_code:
        return True
    if not state.is_running:
        raise DependencyFailed(container.name, f"exited ({state.exit_code})" if state.started_at else f"is {state.status}", state.error)
    if not has_check:
        return True
    if state.health is not None and state.health.status == UNHEALTHY:
        raise DependencyFailed(container.name, "is unhealthy", _last_probe(state))
    return state.health is not None and state.health.status == HEALTHY


def _completed(container: "Container", state: "State") -> bool:
    if state.is_running:
        return False
    if not state.started_at:
        raise DependencyFailed(container.name, f"is {state.status}", state.error)
    if state.exit_code:
        raise DependencyFailed(container.name, f"didn't complete successfully: exit {state.exit_code}", state.error)
    return True


def _last_probe(state: "State") -> str:
    """What the last probe said, in one line."""
    probe = state.health.log[-1] if state.health and state.health.log else None
    if probe is None:
        return ""
    text = " ".join(probe.output.split())
    return f"its healthcheck exited with {probe.exit_code}" + (f": {text[:_OUTPUT_MAX]}" if text else "")


class Watched:
    """Containers by name, each with a conversation with its shim: that one ends, too, where no event is written because the shim was killed."""

    def __init__(self, engine: "Engine", names: "Iterable[str]") -> None:
        self._engine = engine
        self.containers = tuple(engine.find(name) for name in names)
        self._contacts: "dict[str, Contact]" = {}

    def descriptors(self, containers: "Iterable[Container]") -> "tuple[int, ...]":
        """What becomes readable when one of them has ended; fresh ones, for those that run again."""
        self.close()
        for one in containers:
            contact = reach(self._engine.place(one.id), one.name)
            if contact:
                self._contacts[one.id] = contact
                try:
                    contact.tell("wait")
                except ShimLost:
                    pass                                  # its end is there to be read
        return tuple(contact.fileno() for contact in self._contacts.values())

    def close(self) -> None:
        for contact in self._contacts.values():
            contact.close()
        self._contacts.clear()

    def __enter__(self) -> "Watched":
        return self

    def __exit__(self, *what: object) -> None:
        self.close()
