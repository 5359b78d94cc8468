"""The networks that running containers are on now, as the agent has written it down: they may have changed since the container was started."""

from runner.container import is_on_networks

TYPE_CHECKING = False
if TYPE_CHECKING:
    from runner.agent.form import Member
    from runner.container import Container
    from runner.engine import Engine
    from runner.state import State


class Memberships:
    """Looks once, when it is first asked."""

    __slots__ = ("_engine", "_members")

    def __init__(self, engine: "Engine") -> None:
        self._engine = engine
        self._members: "dict[str, Member] | None" = None

    def apply(self, container: "Container", state: "State") -> "State":
        """`state` with its connections and ports as they are now."""
        if not state.is_running or not is_on_networks(container.spec):
            return state
        if self._members is None:
            from runner.agent.members import Members

            self._members = {one.container: one for one in Members(self._engine.store.root.run).list()}
        found = self._members.get(container.id)
        return state._replace(connections=found.connections, ports=found.ports) if found else state
