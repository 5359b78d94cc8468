"""Leases: what a process uses, so that nobody removes it. In: kinds and names; out: a file under flock that lists them.

A lease vanishes with its holder, also after kill -9: the file stays, the lock does not, and the next collection removes it. Who wants to
keep something takes the lease first and looks whether the thing exists after that; who collects reads all leases while it holds the gate.
"""

import os
from itertools import count

from kernel.locks import Lock, is_held

_GATE = "gate"


class Leases:
    """The leases of one store; `current()` is this process's own."""

    def __init__(self, directory: str) -> None:
        self.directory = directory
        self._current: "Lease | None" = None
        self._pid = 0

    def take(self) -> "Lease":
        """A new lease, held until `release` or until the process and its forks are gone."""
        name = os.urandom(6).hex()
        lock = Lock(f"{self.directory}/{name}")
        lock.take()
        return Lease(self, name, lock)

    def current(self) -> "Lease":
        """This process's lease; a fork gets its own."""
        if self._current is None or self._pid != os.getpid():
            self._current = self.take()
            self._pid = os.getpid()
        return self._current

    def release(self) -> None:
        """Give up this process's lease, if it has one."""
        if self._current is not None and self._pid == os.getpid():
            self._current.release()
        self._current = None

    def gate(self, *, shared: bool = False) -> Lock:
        """Held exclusively while a collection reads the leases and decides; shared, for a moment, by whoever writes into one."""
        return Lock(f"{self.directory}/{_GATE}", shared=shared)

    def is_alive(self, name: str) -> bool:
        return is_held(f"{self.directory}/{name}")

    def held(self) -> "set[tuple[str, str]]":
        """(kind, name) of everything that a living process uses. Files of the dead are removed."""
        found: "set[tuple[str, str]]" = set()
        for name in os.listdir(self.directory):
            if name == _GATE:
                continue
            path = f"{self.directory}/{name}"
            dead = Lock(path)
            if dead.take(wait=False):
                dead.release(remove=True)                # removed while locked: whoever is just taking it notices, and makes a new one
                continue
            if name.startswith("step-"):                 # a lock on a key: it names nothing
                continue
            try:
                with open(path, encoding="utf-8", errors="surrogateescape") as file:
                    lines = file.read().splitlines()
            except FileNotFoundError:
                continue                                 # released meanwhile
            for line in lines:
                kind, _, what = line.partition(" ")
                found.add((kind, what))
        return found


class Lease:
    """One process's list. `name` begins the names of everything it makes under tmp/."""

    def __init__(self, leases: Leases, name: str, lock: Lock) -> None:
        self.name = name
        self._leases = leases
        self._lock = lock
        self._serial = count(1)
        self._held: "set[tuple[str, str]]" = set()

    def fileno(self) -> int:
        """The locked file: whoever gets a copy of this descriptor keeps the lease alive."""
        return self._lock.fd

    def hold(self, kind: str, *names: str) -> None:
        """Keep these (kind: `snapshot`, `blob`, `image`); look only afterwards whether they exist."""
        new = [(kind, name) for name in names if (kind, name) not in self._held]
        if not new:
            return
        with self._leases.gate(shared=True):
            os.write(self._lock.fd, "".join(f"{kind} {name}\n" for _, name in new).encode("utf-8", "surrogateescape"))
        self._held.update(new)

    def fresh(self) -> str:
        """A name that was never used in this store: for drafts, snapshots and temporary files."""
        return f"{self.name}-{next(self._serial)}"

    def release(self) -> None:
        self._lock.release(remove=True)
