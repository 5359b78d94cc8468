"""One way to run a sandbox in tests, as root or as an ordinary user, with everything a test asserts on in one value."""

import os
import shutil
import stat
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

from sandbox import userns
from sandbox.client import Client, Exit, connect
from sandbox.errors import SandboxError
from sandbox.spec import Overlay, SandboxSpec
from tests.users import User

PATH = ("PATH", "/bin")
IDLE_S = 3.0


class Outcome(NamedTuple):
    """exit is None if it could not be started; error is then the exception's class. upper: path -> what the process left there."""

    exit: Exit | None
    out: str
    err: str
    error: str
    message: str
    upper: dict[str, str]


class Box:
    """Runs sandboxes on fresh overlays over `rootfs`. user None: as root."""

    def __init__(self, rootfs: Path, run_directory: Path, scratch: Path, user: User | None) -> None:
        self.rootfs = rootfs
        self.run_directory = run_directory
        self.scratch = scratch
        self.user = user

    def run(self, *argv: str, stdin: bytes = b"", lower: tuple[str, ...] = (), **fields: Any) -> Outcome:
        """Run `argv`; fields are those of SandboxSpec, rootfs an overlay over `lower` (the test root) unless given."""
        arguments = (str(self.run_directory), str(self.scratch), lower or (str(self.rootfs),), argv, stdin, fields)
        return self.user.call(run, *arguments) if self.user else run(*arguments)

    def shell(self, script: str, **fields: Any) -> Outcome:
        return self.run("/bin/sh", "-c", script, **fields)


def run(run_directory: str, scratch: str, lower: tuple[str, ...], argv: tuple[str, ...], stdin: bytes, fields: dict[str, Any]) -> Outcome:
    with connect(run_directory, idle_s=IDLE_S) as client:
        userns.enter(run_directory, client)
        return _run(client, scratch, lower, argv, stdin, fields)


def _run(client: Client, scratch: str, lower: tuple[str, ...], argv: tuple[str, ...], stdin: bytes, fields: dict[str, Any]) -> Outcome:
    base = Path(tempfile.mkdtemp(dir=scratch))
    for name in ("upper", "work"):
        (base / name).mkdir()
    base.chmod(0o711)
    (base / "in").write_bytes(stdin)
    spec = SandboxSpec(**{"rootfs": Overlay(lower, str(base / "upper"), str(base / "work")), "argv": argv, "env": (PATH,), **fields})
    exit, error, message = None, "", ""
    try:
        exit = finish(client, spec, base)
    except SandboxError as caught:
        error, message = type(caught).__name__, str(caught)
    outcome = Outcome(exit, (base / "out").read_text(errors="replace"), (base / "err").read_text(errors="replace"), error, message,
                      listing(base / "upper"))
    shutil.rmtree(base)
    return outcome


def finish(client: Client, spec: SandboxSpec, base: Path) -> Exit:
    with open(base / "in", "rb") as stdin, open(base / "out", "wb") as stdout, open(base / "err", "wb") as stderr, \
            client.spawn(spec, stdin.fileno(), stdout.fileno(), stderr.fileno()) as running:
        return running.wait()


def listing(top: Path) -> dict[str, str]:
    """Path -> kind and mode, owner, and size or target."""
    found = {}
    for directory, names, files in os.walk(top):
        for name in sorted(names + files):
            path = Path(directory) / name
            status = path.lstat()
            detail = os.readlink(path) if stat.S_ISLNK(status.st_mode) else "" if stat.S_ISDIR(status.st_mode) else str(status.st_size)
            kind = stat.filemode(status.st_mode)
            found[str(path.relative_to(top))] = f"{kind} {status.st_uid}:{status.st_gid} {detail}".strip()
    return found
