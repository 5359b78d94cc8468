"""The agent's table in the kernel, kept in step with what it was told: networks come and go, ports are published and withdrawn.

A change is one small transaction; if the kernel's table is not what it is taken for (somebody flushed the ruleset), it is written anew, whole.
"""

from runner.agent import ruleset
from runner.agent.nft import RulesFailed
from runner.agent.ruleset import Fence, Published

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from runner.agent.nft import Rules


class Firewall:
    """rules: makes the door to nftables, at the first change. beside, relay_port: as in ruleset.table."""

    def __init__(self, table: str, rules: "Callable[[], Rules]", *, beside: bool = False, relay_port: int = 0) -> None:
        self._table = table
        self._beside = beside
        self._relay_port = relay_port
        self._open = rules
        self._rules: "Rules | None" = None
        self._fences: "dict[str, Fence]" = {}
        self._published: "set[Published]" = set()

    def resume(self, fences: "Iterable[Fence]", published: "Iterable[Published]") -> None:
        """Write the whole table, if there is anything in it; an earlier agent's is replaced in one transaction, so that nothing is unguarded."""
        self._fences = {fence.interface: fence for fence in fences}
        self._published = set(published)
        if self._fences:
            self._write()

    def fence(self, fence: Fence) -> None:
        """A network is there. Idempotent."""
        if self._fences.get(fence.interface) == fence and self._rules:
            return
        old = self._fences.get(fence.interface)
        self._fences[fence.interface] = fence
        self._change((ruleset.remove_fence(self._table, old) if old else "") + ruleset.add_fence(self._table, fence))

    def unfence(self, interface: str) -> None:
        fence = self._fences.pop(interface, None)
        if fence:
            self._change(ruleset.remove_fence(self._table, fence))

    def publish(self, added: "Iterable[Published]") -> None:
        fresh = [one for one in added if one not in self._published]
        self._published |= set(fresh)
        self._change("".join(ruleset.publish(self._table, one) for one in fresh))

    def withdraw(self, removed: "Iterable[Published]") -> None:
        gone = [one for one in removed if one in self._published]
        self._published -= set(gone)
        self._change("".join(ruleset.unpublish(self._table, one) for one in gone))

    def stop(self) -> None:
        """Remove the table, ours or one that an earlier agent left."""
        self._fences, self._published = {}, set()
        rules = self._rules or self._open()
        self._rules = None
        rules.run(ruleset.remove_table(self._table))
        rules.close()

    def _change(self, commands: str) -> None:
        if not commands:
            return
        if self._rules is None:
            self._write()
            return
        try:
            self._rules.run(commands)
        except RulesFailed:
            self._write()

    def _write(self) -> None:
        if self._rules is None:
            self._rules = self._open()
        fences, published = tuple(self._fences.values()), tuple(sorted(self._published))
        self._rules.run(ruleset.table(self._table, fences, published, beside=self._beside, relay_port=self._relay_port))
