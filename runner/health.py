"""When a container's health is probed, and what the probes come to. Pure; times in nanoseconds since the container's start.

The first probe comes at once, and while nothing is known yet more follow than were asked for, further and further apart, so that nobody waits for
an interval when the container has long been up. Those early ones only ever bring good news: a container turns unhealthy when docker's would.
"""

from kernel.value import Value
from runner.state import HEALTHY, STARTING, UNHEALTHY, Health, Probe
from runner.upkeep import SECOND, Healthcheck

INTERVAL, TIMEOUT, RETRIES = 30 * SECOND, 30 * SECOND, 3
_FIRST_EARLY = SECOND // 8
_LAST_EARLY = SECOND
KEPT = 5                                                  # probes that inspect shows
OUTPUT_MAX = 4096
TIMED_OUT = -1


class Plan(Value):
    """A Healthcheck with every number decided."""

    interval: int
    timeout: int
    start_period: int
    start_interval: int
    retries: int


def plan_of(check: Healthcheck) -> Plan:
    return Plan(check.interval or INTERVAL, check.timeout or TIMEOUT, check.start_period, check.start_interval, check.retries or RETRIES)


def next_probe(plan: Plan, health: Health, now: int, early: int) -> int:
    """Delay until the next probe. early: how many have been made while nothing was known."""
    if health.status != STARTING:
        return plan.interval
    eager = min(_FIRST_EARLY << min(early, 10), _LAST_EARLY)
    wanted = plan.start_interval if plan.start_interval and now < plan.start_period else plan.interval
    return min(wanted, eager)


def judge(plan: Plan, health: Health, probe: Probe, now: int) -> Health:
    """What is known after `probe`, which ended `now`."""
    log = (*health.log, probe)[-KEPT:]
    if probe.exit_code == 0:
        return Health(HEALTHY, 0, log)
    if health.status == STARTING and now < plan.start_period + (health.failing_streak + 1) * plan.interval:
        return health._replace(log=log)                   # docker would not have asked yet
    streak = health.failing_streak + 1
    return Health(UNHEALTHY if streak >= plan.retries else health.status, streak, log)
