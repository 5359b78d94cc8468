"""Networks of build steps: each has one that nobody had before. While somebody builds, one is ready before it is asked for.

A step that asks for a network of containers is made an end on that."""

import os

from runner.agent.keeper import Keeper, Result
from runner.endpoint import Endpoint, Membership
from runner.network import ICC, NetworkSpec

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import TypeAlias

    Given: TypeAlias = "tuple[str, Result]"               # its name, and what it got

NETWORK = NetworkSpec(".build", options=((ICC, "false"),))      # steps reach the outside, and not each other


class Stepping:
    """expected: how many somebodies build."""

    def __init__(self, keeper: Keeper) -> None:
        self._keeper = keeper
        self._ready: "Given | None" = None
        self.expected = 0

    def take(self, network: str = "") -> "Given":
        """network: one that containers are on, by name or ID; "": the steps' own. Raises NetworkError."""
        if network:
            return self._make(network)
        found, self._ready = self._ready, None
        return found or self._make()

    def refill(self) -> None:
        """Have one ready if somebody builds, none if nobody does."""
        if self.expected and not self._ready:
            self._ready = self._make()
        elif self._ready and not self.expected:
            name, self._ready = self._ready[0], None
            self._keeper.detach(name)

    def ready(self) -> tuple[str, ...]:
        """Names of those that nobody has yet."""
        return (self._ready[0],) if self._ready else ()

    def _make(self, network: str = "") -> "Given":
        name = os.urandom(32).hex()
        wanted = Membership(name, f"step-{name[:12]}", "", (Endpoint(network or NETWORK.name),))
        return name, self._keeper.attach(wanted, build=True, own=None if network else NETWORK)
