"""Which containers are on networks, kept while the machine runs: a file each in the run directory. Written by the agent, read by everybody."""

import os

from runner.agent.form import Member, from_bytes, to_bytes

_DIRECTORY = "members"


class Members:
    """Files of `run_directory`. What is not whole, or of an earlier start of the machine, counts as not there."""

    def __init__(self, run_directory: str) -> None:
        self._path = f"{run_directory}/{_DIRECTORY}"
        self.boot = boot_id()

    def write(self, member: Member) -> None:
        """By rename: readers see the old one or the new."""
        path = f"{self._path}/{member.container}"
        try:
            self._write(f"{path}.new", member)
        except FileNotFoundError:
            os.mkdir(self._path, 0o700)
            self._write(f"{path}.new", member)
        os.rename(f"{path}.new", path)

    def _write(self, path: str, member: Member) -> None:
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            os.write(fd, to_bytes(member))
        finally:
            os.close(fd)

    def remove(self, container: str) -> None:
        """Idempotent."""
        try:
            os.unlink(f"{self._path}/{container}")
        except FileNotFoundError:
            pass

    def list(self) -> tuple[Member, ...]:
        """By ID."""
        try:
            names = sorted(os.listdir(self._path))
        except FileNotFoundError:
            return ()
        found = (self._read(name) for name in names if not name.endswith(".new"))
        return tuple(member for member in found if member is not None and member.boot == self.boot)

    def _read(self, name: str) -> Member | None:
        try:
            with open(f"{self._path}/{name}", "rb") as file:
                member = from_bytes(file.read())
        except (OSError, ValueError, EOFError, TypeError, LookupError):
            return None
        return member if isinstance(member, Member) and member.container == name else None


def boot_id() -> str:
    """Of the machine since it was started."""
    try:
        with open("/proc/sys/kernel/random/boot_id") as file:
            return file.read().strip()
    except OSError:
        return "?"
