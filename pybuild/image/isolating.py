"""What runs the steps of a build: sandboxes with namespaces and networks, or, where this machine has none, by chroot."""

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from builder.progress import OnEvent
    from builder.request import Request
    from runner.idrange import IdRange
    from sandbox.client import Client, Spawner
    from sandbox.network import NetworkProvider
    from store.store import Store


class Isolated:
    """`with isolated(..) as how`: how.connect, how.network and how.ahead are what builder.build.Tools takes."""

    def __init__(self, request: "Request", store: "Store", on_event: "OnEvent", zygote: "Callable[[], Client]", network: "NetworkProvider") -> None:
        self._store, self._on_event, self._zygote = store, on_event, zygote
        self._wanted = request.isolation
        self._runtime, self._userns = request.runtime, request.userns
        self._pool = self._notice = ""
        self._owner = os.getpid()
        self.connect: "Callable[[], Spawner]" = zygote
        self.network: "NetworkProvider" = network

    def __enter__(self) -> "Isolated":
        from sandbox.isolation import AUTO, CHROOT, NAMESPACE, NONE, Cautious, choose, notice

        if self._runtime:                                 # whoever names one is not given less than it
            from sandbox.runtimes import Through

            runtime, self._wanted = self._runtime, NAMESPACE
            self.connect = lambda: Through(self._zygote(), runtime)
        if self._userns:
            ids, self._wanted = self._ids(), NAMESPACE
            self.connect = lambda: _within(self._zygote(), ids)
        denied = self._enter()
        found = choose(self._wanted, (lambda: denied) if denied else None)
        if found.kind == CHROOT:
            self._notice = notice(found.reason)
            client = self._chroot(found.reason)
            self.connect, self.network = lambda: client, _Shared()
        elif found.kind == NONE:
            reason = found.reason
            self.connect, self.network = lambda: _refuse(reason), _Shared()
        elif self._wanted == AUTO:
            self.connect = lambda: Cautious(self._zygote, self._chroot)
        return self

    def __exit__(self, kind: "type[BaseException] | None", error: "BaseException | None", trace: "TracebackType | None") -> None:
        if self._pool and os.getpid() == self._owner and os.path.exists(self._store.temporary.path(self._pool)):
            self._store.temporary.remove(self._pool)

    def _ids(self) -> "IdRange":
        """Those of the user namespace that steps are to be in."""
        from runner import idrange
        from runner.network import root_id
        from runner.records import Records

        root = self._store.root.path
        others = [one.ids for one in Records(root).containers() if one.ids]
        seed = int(root_id(root), 16) + os.getpid()       # no record is kept of a build's ids: so each begins to look somewhere else
        return idrange.allot(self._userns, others, idrange.read("/etc/subuid"), idrange.read("/etc/subgid"), seed)

    def _enter(self) -> str:
        """An ordinary user's process enters its user namespace, and stays there; why not, if that is forbidden and need not be."""
        from sandbox.errors import SandboxError
        from sandbox.isolation import AUTO
        from sandbox.userns import enter

        if not os.geteuid():
            return ""
        try:
            with self._zygote() as client:
                enter(self._store.root.run, client)
        except SandboxError as error:
            if self._wanted != AUTO:
                raise
            return str(error)
        return ""

    def _chroot(self, why: str) -> "Spawner":
        from sandbox.chroot import ChrootClient
        from sandbox.isolation import lacking_capabilities

        if lacking_capabilities():
            return _refuse(why)
        if not self._pool:
            self._pool = self._store.temporary.name()
        return ChrootClient(self._store.temporary.path(self._pool), self._store.root.userxattr)

    def ahead(self) -> None:
        """A step is about to run: the user is told how, once."""
        if self._notice:
            from builder.progress import Note

            text, self._notice = self._notice, ""
            self._on_event(Note("info", text))


def _within(client: "Client", ids: "IdRange") -> "Spawner":
    from sandbox.idmap import Within

    return Within(client, *ids.maps())


def _refuse(why: str) -> "Spawner":
    from sandbox.errors import SandboxError

    raise SandboxError("run this step", reason=why, help="`pybuild doctor` shows what would allow it")


class _Shared:
    """A NetworkProvider where there is nothing but this machine's own network."""

    def prepare(self) -> None:
        pass

    def acquire(self, network: str = "") -> "_SharedStep":
        if network:
            from sandbox.errors import NetworkUnavailable

            raise NetworkUnavailable(f"put this step on `{network}`", reason="this machine makes no namespaces")
        return _SharedStep()


class _SharedStep:
    def __init__(self) -> None:
        self.gateway, self.resolv_conf = "127.0.0.1", ""
        self.notices: tuple[str, ...] = ()

    def __enter__(self) -> int:
        try:
            with open("/etc/resolv.conf", encoding="utf-8", errors="replace") as file:
                self.resolv_conf = file.read(1 << 16)
        except OSError:
            pass
        self._fd = os.open("/proc/self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        return self._fd

    def __exit__(self, kind: "type[BaseException] | None", error: "BaseException | None", trace: "TracebackType | None") -> None:
        os.close(self._fd)
