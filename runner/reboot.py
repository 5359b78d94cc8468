"""After the machine was started: which containers are to run again, by their restart policies, and starting them."""

from runner.errors import RunError
from runner.state import State, boot_id
from runner.upkeep import Restart
from sandbox.errors import SandboxError
from store.errors import StoreError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

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
    """Start those that are due, oldest first; what was started, each with what went wrong, as it happens."""
    boot = boot_id()
    for container in reversed(engine.records.containers()):
        if not is_due(container.spec.restart, engine.state(container), boot):
            continue
        failure: Exception | None = None
        try:
            contact = engine.start(container)
            if contact:
                contact.close()
        except (RunError, SandboxError, StoreError, OSError) as error:
            failure = error
        yield container, failure
