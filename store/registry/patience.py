"""How long a registry is waited for, and what all connections of a command share. Out: values; apart from the client, which costs 30 ms to import."""

import time

from kernel.value import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


class Patience(Value):
    """How long we try. Seconds. attempts: of one request; pause: before the second attempt, twice as long before each further one, up to
    `longest`, which is also the longest that a registry may have us wait; idle: without a byte."""

    attempts: int = 6
    pause: float = 0.5
    longest: float = 60.0
    connect: float = 20.0
    idle: float = 60.0


class Surroundings(Value):
    """What all connections of a command share. sleep: how waiting is done; note: told (registry, text) of each wait."""

    environment: "Mapping[str, str]"
    patience: Patience = Patience()
    headers: "tuple[tuple[str, str], ...]" = ()
    sleep: "Callable[[float], None]" = time.sleep
    note: "Callable[[str, str], None]" = lambda registry, text: None
