"""What a shim does for its container as long as that exists: restarts, healthchecks, a log; and the words for a container's states.

Times are nanoseconds, sizes bytes. Loaded by the zygote.
"""

from kernel.value import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import TypeAlias

    Texts: TypeAlias = tuple[str, ...]
    Pairs: TypeAlias = tuple[tuple[str, str], ...]

# states, as the Engine API calls them
CREATED, RUNNING, PAUSED, RESTARTING, REMOVING, EXITED, DEAD = "created", "running", "paused", "restarting", "removing", "exited", "dead"
ALIVE = (RUNNING, PAUSED, RESTARTING)

SECOND = 1_000_000_000


class Healthcheck(Value):
    """test: ("CMD", argument, ...), ("CMD-SHELL", line) or ("NONE",). 0: docker's default for that."""

    test: "Texts" = ()
    interval: int = 0
    timeout: int = 0
    start_period: int = 0
    start_interval: int = 0
    retries: int = 0


class Restart(Value):
    """name: "no", "always", "on-failure" or "unless-stopped". maximum: attempts of on-failure, 0: no end.

    delay, window: of compose's deploy.restart_policy; 0: backing off from 100 ms, forgotten after 10 s. unhealthy: also when it turns unhealthy.
    """

    name: str = "no"
    maximum: int = 0
    delay: int = 0
    window: int = 0
    unhealthy: bool = False


class LogOptions(Value):
    """driver: "json-file" and "local" (kept, in a form of our own) or "none". max_size 0: no limit; max_file: how many are kept then."""

    driver: str = "json-file"
    max_size: int = 0
    max_file: int = 1
    options: "Pairs" = ()                                 # as they were given
