"""What probes come to, and when they are made."""

from runner.health import KEPT, RETRIES, judge, next_probe, plan_of
from runner.state import HEALTHY, STARTING, UNHEALTHY, Health, Probe
from runner.upkeep import SECOND, Healthcheck

CHECK = Healthcheck(("CMD", "true"), interval=10 * SECOND, retries=2)
PLAN = plan_of(CHECK)


def probe(code: int) -> Probe:
    return Probe(0, 1, code, "")


def test_defaults_are_dockers() -> None:
    plan = plan_of(Healthcheck(("CMD", "true")))
    assert (plan.interval, plan.timeout, plan.retries, plan.start_period) == (30 * SECOND, 30 * SECOND, RETRIES, 0)


def test_one_success_makes_healthy() -> None:
    assert judge(PLAN, Health(), probe(0), SECOND).status == HEALTHY


def test_early_failures_do_not_count() -> None:
    health = Health()
    for now in range(1, 10):
        health = judge(PLAN, health, probe(1), now * SECOND)
    assert (health.status, health.failing_streak) == (STARTING, 0)


def test_unhealthy_when_dockers_would_be() -> None:
    health = judge(PLAN, Health(), probe(1), 10 * SECOND)
    assert (health.status, health.failing_streak) == (STARTING, 1)
    health = judge(PLAN, health, probe(1), 15 * SECOND)
    assert health.failing_streak == 1
    assert judge(PLAN, health, probe(1), 20 * SECOND).status == UNHEALTHY


def test_failures_in_the_start_period_do_not_count() -> None:
    plan = plan_of(CHECK._replace(start_period=60 * SECOND))
    assert judge(plan, Health(), probe(1), 65 * SECOND).failing_streak == 0
    assert judge(plan, Health(), probe(1), 70 * SECOND).failing_streak == 1


def test_healthy_turns_unhealthy_after_retries() -> None:
    health = judge(PLAN, Health(HEALTHY), probe(1), 100 * SECOND)
    assert (health.status, health.failing_streak) == (HEALTHY, 1)
    health = judge(PLAN, health, probe(1), 110 * SECOND)
    assert (health.status, health.failing_streak) == (UNHEALTHY, 2)
    assert judge(PLAN, health, probe(0), 120 * SECOND) == Health(HEALTHY, 0, (*health.log, probe(0)))


def test_only_the_last_probes_are_kept() -> None:
    health = Health(HEALTHY)
    for _ in range(KEPT + 3):
        health = judge(PLAN, health, probe(0), SECOND)
    assert len(health.log) == KEPT


def test_probes_are_frequent_until_something_is_known() -> None:
    delays = [next_probe(PLAN, Health(), 0, early) for early in range(6)]
    assert delays == sorted(delays) and delays[0] < SECOND and delays[-1] <= SECOND
    assert next_probe(PLAN, Health(HEALTHY), 0, 6) == PLAN.interval
    assert next_probe(PLAN, Health(UNHEALTHY), 0, 6) == PLAN.interval


def test_no_probe_is_rarer_than_was_asked_for() -> None:
    quick = plan_of(CHECK._replace(interval=SECOND // 100))
    assert next_probe(quick, Health(), 0, 9) == SECOND // 100
