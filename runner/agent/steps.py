"""Networks for the steps of builds: the agent as a NetworkProvider of sandbox.network. It is loaded, and started, when a step is about to run."""

import os

from sandbox.errors import NetworkUnavailable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import TracebackType

    from runner.agent.client import Agent


class Steps:
    """root, run_directory: as Agent takes them. A fork of this process has a connection of its own."""

    def __init__(self, root: str, run_directory: str) -> None:
        self._root = root
        self._run_directory = run_directory
        self._agent: "Agent | None" = None

    def prepare(self) -> None:
        from runner.agent.errors import NetworkError

        try:
            self.agent().expect()
        except (NetworkError, OSError):
            pass                                          # the step that wants a network says it

    def acquire(self, network: str = "") -> "Step":
        return Step(self.agent(), network)

    def agent(self) -> "Agent":
        from runner.agent.client import Agent

        if self._agent is None:
            self._agent = Agent(self._root, self._run_directory)
        return self._agent


class Step:
    """A StepNetwork: `with steps.acquire() as fd:`."""

    __slots__ = ("_agent", "_fd", "_name", "_network", "gateway", "notices", "resolv_conf")

    def __init__(self, agent: "Agent", network: str = "") -> None:
        self._agent = agent
        self._network = network
        self.resolv_conf = self.gateway = ""
        self.notices: tuple[str, ...] = ()

    def __enter__(self) -> int:
        from runner.agent.errors import NetworkError

        try:
            self._name, self.resolv_conf, self.gateway, self._fd = self._agent.acquire(self._network)
        except (NetworkError, OSError) as error:
            raise NetworkUnavailable("give this step a network", reason=str(error), help=getattr(error, "help", "")) from error
        finally:
            self.notices, self._agent.notices[:] = tuple(self._agent.notices), []
        return self._fd

    def __exit__(self, kind: "type[BaseException] | None", error: "BaseException | None", trace: "TracebackType | None") -> None:
        os.close(self._fd)
        self._agent.release(self._name)
