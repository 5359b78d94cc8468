"""When a container is started again, and how long that waits."""

from runner.restart import FIRST_DELAY, LONGEST_DELAY, STEADY, Attempts, decide
from runner.upkeep import SECOND, Restart

ALWAYS = Restart("always")
SHORT = SECOND


def test_no_policy_never_restarts() -> None:
    assert decide(Restart(), Attempts(), exit_code=1, manual=False, ran=SHORT) is None


def test_on_failure_leaves_success_alone() -> None:
    assert decide(Restart("on-failure"), Attempts(), exit_code=0, manual=False, ran=SHORT) is None
    assert decide(Restart("on-failure"), Attempts(), exit_code=1, manual=False, ran=SHORT)


def test_what_was_stopped_by_hand_stays_stopped() -> None:
    for name in ("always", "unless-stopped", "on-failure"):
        assert decide(Restart(name), Attempts(), exit_code=1, manual=True, ran=SHORT) is None


def test_delay_doubles_and_has_an_end() -> None:
    attempts, delays = Attempts(), []
    for _ in range(12):
        verdict = decide(ALWAYS, attempts, exit_code=0, manual=False, ran=SHORT)
        assert verdict
        attempts = verdict.attempts
        delays.append(verdict.delay)
    assert delays[:4] == [FIRST_DELAY, 2 * FIRST_DELAY, 4 * FIRST_DELAY, 8 * FIRST_DELAY]
    assert delays[-1] == LONGEST_DELAY
    assert attempts.total == 12


def test_delay_begins_anew_after_a_steady_run() -> None:
    verdict = decide(ALWAYS, Attempts(5, 5, 8 * FIRST_DELAY), exit_code=1, manual=False, ran=STEADY)
    assert verdict and verdict.delay == FIRST_DELAY and verdict.attempts == Attempts(6, 1, FIRST_DELAY)


def test_on_failure_gives_up_after_its_maximum() -> None:
    policy, attempts = Restart("on-failure", 2), Attempts()
    for _ in range(2):
        verdict = decide(policy, attempts, exit_code=1, manual=False, ran=SHORT)
        assert verdict
        attempts = verdict.attempts
    assert decide(policy, attempts, exit_code=1, manual=False, ran=SHORT) is None
    assert attempts.total == 2


def test_window_forgets_failures_of_long_ago() -> None:
    policy = Restart("on-failure", 1, window=5 * SECOND)
    assert decide(policy, Attempts(1, 1, FIRST_DELAY), exit_code=1, manual=False, ran=SHORT) is None
    assert decide(policy, Attempts(1, 1, FIRST_DELAY), exit_code=1, manual=False, ran=6 * SECOND)


def test_fixed_delay_is_kept() -> None:
    verdict = decide(Restart("always", delay=3 * SECOND), Attempts(4, 4, 3 * SECOND), exit_code=0, manual=False, ran=SHORT)
    assert verdict and verdict.delay == 3 * SECOND


def test_unhealthy_is_restarted_only_if_so_wanted() -> None:
    assert decide(Restart("no", unhealthy=True), Attempts(), exit_code=143, manual=False, ran=SHORT, unhealthy=True)
    assert decide(Restart("no", unhealthy=True), Attempts(), exit_code=143, manual=False, ran=SHORT) is None
    assert decide(Restart("no"), Attempts(), exit_code=143, manual=False, ran=SHORT, unhealthy=True) is None
