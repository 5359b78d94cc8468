"""What the mind of a shim leaves for the next one when there is nothing to do (see sandbox.guardian): values, in which an fd stays what it was."""

from kernel.value import Value
from runner import form
from runner.order import Order, kinds
from runner.restart import Attempts
from runner.upkeep import RUNNING
from sandbox.stubs import Entry, Stubs

TYPE_CHECKING = False
if TYPE_CHECKING:
    from runner.shim import Shim

QUIET_S = 1.0                                             # nothing happens for so long before a mind rests, and while it does


class Rest(Value):
    """order: as it is by now. stubs, pidfd: of the container. late_group: its cgroup is one that was made later than it. executions: (id, exit code)
    of those that have ended. streams: (fd, STDOUT or STDERR). probes: how many were made, and when the next one is due; 0: there are none."""

    order: Order
    attempts: Attempts
    pidfd: int
    stubs: "Stubs | None"
    late_group: bool
    listener: int
    streams: "tuple[tuple[int, int], ...]"
    executions: "tuple[tuple[str, int], ...]"
    probes: "tuple[int, float]"
    console: int                                          # these two: -1 if there is none
    network: int


_KINDS = kinds(Rest, Attempts, Stubs, Entry)


def may_rest(shim: "Shim") -> bool:
    """Whether nothing is under way, and nothing due soon."""
    return (shim.state.status == RUNNING and shim.child is not None and shim.child.unit.is_guarded and shim.awaits_nothing
            and shim.calls.is_idle and not shim.output.is_waiting and not shim.log.lost
            and (shim.checkup is None or shim.checkup.is_far(QUIET_S)))


def rest(shim: "Shim") -> None:
    """End this process, to go on when something happens. Raises OSError if that cannot be told."""
    assert shim.child and shim.maker.guardian
    order = shim.order._replace(state=shim.state, restart=shim.policy)
    left = Rest(order, shim.attempts, shim.pidfd, shim.child.unit.stubs, shim.late_group is not None, shim.calls.fileno(),
                tuple(shim.output.streams.items()), shim.calls.ended(), shim.checkup.position if shim.checkup else (0, 0.0), shim.console,
                shim.network)
    watched = (left.pidfd, left.listener, *shim.output.streams)
    others = (*order.fds(), *(fd for fd in (left.console, left.network) if fd >= 0), *shim.maker.cgroups.fds())
    shim.maker.guardian.rest(form.to_bytes(left), watched, others, left.probes[1])


def recall(file: int) -> Rest:
    """What was left in the file."""
    with open(file, "rb") as memory:
        memory.seek(0)
        left: Rest = form.from_bytes(memory.read(), _KINDS)
    return left
