"""What the host of the escape probe shows off: a file, sockets, shared memory, a process."""

import ctypes
import os
from pathlib import Path

_LIBC = ctypes.CDLL(None, use_errno=True)
_CREATE = os.O_CREAT | os.O_RDWR
_IPC_CREAT, _IPC_RMID = 0o1000, 0


class World:
    """The facts that the probe is told. `share` makes what is of this process's ipc namespace."""

    def __init__(self, canary: Path) -> None:
        serial = os.getpid()
        self.canary = canary
        self.abstract = f"pybuild-probe-{serial}"
        self.marker = f"pybuild-marker-{serial}"
        self.port = self.pid = 0
        self._key = 0x7B000000 | serial
        self._queue = f"/pybuild-probe-{serial}"
        self._memory = f"pybuild-probe-{serial}"
        self._segment = -1

    def share(self) -> None:
        self._segment = _LIBC.shmget(self._key, 4096, _IPC_CREAT | 0o666)
        assert self._segment >= 0
        assert _LIBC.mq_open(self._queue.encode(), _CREATE, 0o666, None) >= 0
        Path("/dev/shm", self._memory).write_text("the host's")

    def unshare(self) -> None:
        _LIBC.shmctl(self._segment, _IPC_RMID, None)
        _LIBC.mq_unlink(self._queue.encode())
        Path("/dev/shm", self._memory).unlink(missing_ok=True)

    def facts(self, state: str) -> tuple[str, ...]:
        """As the probe takes them. state: a part of the path of what the runtime keeps for itself."""
        return (f"canary={self.canary}", f"abstract={self.abstract}", f"port={self.port}", f"pid={self.pid}", f"marker={self.marker}",
                f"shm={self._key}", f"queue={self._queue}", f"memory={self._memory}", f"node={os.uname().nodename}", f"state={state}")
