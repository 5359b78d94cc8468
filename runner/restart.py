"""Whether a container that has ended is started again, and after how long. Pure; times in nanoseconds."""

from kernel.value import Value
from runner.upkeep import Restart

FIRST_DELAY = 100_000_000
LONGEST_DELAY = 60_000_000_000
STEADY = 10_000_000_000                                   # what ran this long has worked: the delay begins anew


class Attempts(Value):
    """total: restarts so far, as inspect shows; recent: those since it last ran for long; delay: before the last of them."""

    total: int = 0
    recent: int = 0
    delay: int = 0


class Verdict(Value):
    """delay: before the restart."""

    delay: int
    attempts: Attempts


def decide(policy: Restart, attempts: Attempts, *, exit_code: int, manual: bool, ran: int, unhealthy: bool = False) -> "Verdict | None":
    """None: it stays as it is. manual: somebody has stopped it by hand; ran: for how long it did; unhealthy: it was stopped for that."""
    if manual or not (_wants(policy, exit_code) or (unhealthy and policy.unhealthy)):
        return None
    steady = ran >= (policy.window or STEADY)
    recent = 1 if steady else attempts.recent + 1
    if policy.maximum and policy.name == "on-failure" and (attempts.total if not policy.window else recent - 1) >= policy.maximum:
        return None
    delay = policy.delay or (FIRST_DELAY if steady or not attempts.delay else min(2 * attempts.delay, LONGEST_DELAY))
    return Verdict(delay, Attempts(attempts.total + 1, recent, delay))


def _wants(policy: Restart, exit_code: int) -> bool:
    if policy.name == "on-failure":
        return exit_code != 0
    return policy.name in ("always", "unless-stopped")
