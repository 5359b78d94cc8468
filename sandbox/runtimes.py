"""Which OCI runtimes there are beside our own: the name that somebody gives -> the program. Read by commands, so it imports next to nothing."""

import os

from sandbox.errors import InvalidSpec

TYPE_CHECKING = False
if TYPE_CHECKING:
    from sandbox.client import Running, Spawner
    from sandbox.spec import SandboxSpec

OURS = ("", "pybuild")                                    # names of our own
KNOWN = ("crun", "runc")


def find(name: str, path: str) -> str:
    """Path of the runtime that `name`, or an absolute path, means; "" for our own. path: directories, as in PATH. Raises InvalidSpec."""
    if name in OURS:
        return ""
    known = os.path.basename(name) in KNOWN and (name.startswith("/") or "/" not in name)
    candidates = [name] if name.startswith("/") else [f"{directory}/{name}" for directory in path.split(":") if directory]
    if known:
        for candidate in candidates:
            if os.path.isfile(candidate) and os.access(candidate, os.X_OK):
                return candidate
    there = [f"`{one}`" for one in KNOWN if any(os.access(f"{directory}/{one}", os.X_OK) for directory in path.split(":"))]
    raise InvalidSpec("runtime", path=name, reason="is not installed" if known else "is unknown",
                      help=f"in the PATH is {' and '.join(there)}; without one, sandboxes are made by pybuild itself" if there else
                      "neither `crun` nor `runc` is in the PATH; without one, sandboxes are made by pybuild itself")


class Through:
    """Spawns as another spawner does, but every command is started by the runtime at `program`."""

    __slots__ = ("_program", "_spawner")

    def __init__(self, spawner: "Spawner", program: str) -> None:
        self._spawner, self._program = spawner, program

    def dial(self) -> None:
        self._spawner.dial()

    def spawn(self, spec: "SandboxSpec", stdin: int = 0, stdout: int = 1, stderr: int = 2) -> "Running":
        return self._spawner.spawn(spec._replace(runtime=self._program), stdin, stdout, stderr)
