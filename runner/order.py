"""What a command orders of the shim that it has started: one container, with all that is needed to start it again and again. As a message.

File descriptors in it are numbers of places in the list that goes with the message; `unpack` puts the descriptors themselves there.
"""

from kernel.value import Value
from runner import form
from runner.endpoint import Connection, PortMapping
from runner.state import Health, Probe, State
from runner.upkeep import Healthcheck, LogOptions, Restart
from sandbox import spec as sandbox_spec
from sandbox.spec import ExecSpec, Joined, SandboxSpec

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any, TypeAlias

    from sandbox.spec import MountOp

    Texts: TypeAlias = tuple[str, ...]
    Pairs: TypeAlias = tuple[tuple[str, str], ...]


class Order(Value):
    """lock: fd of the container's lock. home: fd of the mount namespace whose files it is to see.

    spec: its host paths are text, resolved anew at each start; with network "none" it gets a namespace that outlives restarts.
    attached: whoever asks wants the output, and stdin. reaper: who asks removes the container afterwards; cleanup: argv of a command that does,
    should nobody be there any more. events: attributes of its events.
    """

    id: str
    root: str
    run: str
    lock: int
    home: int
    spec: SandboxSpec
    state: State
    open_stdin: bool = False
    stdin_once: bool = False
    log: LogOptions = LogOptions()
    restart: Restart = Restart()
    check: "Healthcheck | None" = None
    probe: "ExecSpec | None" = None
    stop_signal: int = 15
    stop_timeout: int = 10
    attached: bool = False
    reaper: bool = False
    cleanup: "Texts" = ()
    events: "Pairs" = ()
    networks: bool = False                                # whoever keeps the networks is to be told of its end

    def fds(self) -> "list[int]":
        """All that are in it."""
        namespaces = [fd for name in NAMESPACES if isinstance(fd := getattr(self.spec, name), int)]
        return [self.lock, self.home, *namespaces, *(one.namespace for one in self.spec.mounts if isinstance(one, Joined))]


NAMESPACES = ("network", "pid", "ipc", "uts", "cgroup_namespace", "user_namespace")
_CLASSES = (SandboxSpec, ExecSpec, State, Health, Probe, Order, Connection, PortMapping, Healthcheck, LogOptions, Restart,
            *sandbox_spec.MOUNTS.values(), sandbox_spec.Directory, sandbox_spec.Device, sandbox_spec.Limits, sandbox_spec.Rlimit)


def kinds(*more: "Any") -> "form.Kinds":
    """Every class that may be in an order, and `more`."""
    return form.kinds(*_CLASSES, *more)


_KINDS = kinds()


def pack(order: Order) -> "tuple[Any, list[int]]":
    """(plain data for marshal, the fds that go with it)."""
    fds = [order.lock, order.home]
    changes: dict[str, Any] = {}
    for name in NAMESPACES:
        if isinstance(fd := getattr(order.spec, name), int):
            changes[name] = len(fds)
            fds.append(fd)
    mounts: list[MountOp] = []
    for one in order.spec.mounts:
        if isinstance(one, Joined):
            fds.append(one.namespace)
            one = one._replace(namespace=len(fds) - 1)
        mounts.append(one)
    changes["mounts"] = tuple(mounts)
    return form.to_plain(order._replace(lock=0, home=1, spec=order.spec._replace(**changes))), fds


def unpack(plain: "Any", fds: "Sequence[int]") -> Order:
    order: Order = form.from_plain(plain, _KINDS)
    changes: dict[str, Any] = {name: fds[place] for name in NAMESPACES if isinstance(place := getattr(order.spec, name), int)}
    changes["mounts"] = tuple(one._replace(namespace=fds[one.namespace]) if isinstance(one, Joined) else one for one in order.spec.mounts)
    return order._replace(lock=fds[0], home=fds[1], spec=order.spec._replace(**changes))
