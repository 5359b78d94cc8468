"""Real unprivileged users for tests: made when missing, with and without subordinate ids, each with a home and an XDG run directory.

`User.run` runs a program as the user; `User.call` runs a function of the test in a fork as the user, with what it returns or raises handed
back. Both get an environment as a login would give it, and the source tree to import from.
"""

import os
import pwd
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import pytest

from kernel.syscalls import PR_SET_DUMPABLE, prctl
from tests.fork import in_fork

ROOT = Path(__file__).resolve().parents[1]
T = TypeVar("T")
_SUBIDS = 65536


class User:
    def __init__(self, name: str, uid: int, subordinate: int) -> None:
        self.name = name
        self.uid = uid
        self.subordinate = subordinate
        self.home = Path(f"/var/tmp/pybuild-tests/{name}")
        self.runtime = self.home / "run"

    def create(self) -> "User":
        """The account with its directories; what is there already is used."""
        try:
            pwd.getpwnam(self.name)
        except KeyError:
            subprocess.run(["useradd", "-M", "-N", "-g", "nogroup", "-u", str(self.uid), "-d", str(self.home), "-s", "/bin/sh",
                            "-K", "SUB_UID_COUNT=0", "-K", "SUB_GID_COUNT=0", self.name], check=True, capture_output=True)
        for path in ("/etc/subuid", "/etc/subgid"):
            line = f"{self.name}:{self.subordinate}:{_SUBIDS}\n"
            lines = Path(path).read_text().splitlines(keepends=True) if Path(path).exists() else []
            kept = [one for one in lines if not one.startswith(f"{self.name}:")]
            wanted = [*kept, *([line] if self.subordinate else [])]
            if wanted != lines:
                Path(path).write_text("".join(wanted))
        for directory in (self.home, self.runtime):
            directory.mkdir(parents=True, exist_ok=True)
            os.chown(directory, self.uid, self.gid)
            directory.chmod(0o700)
        self.home.parent.chmod(0o755)
        return self

    @property
    def gid(self) -> int:
        return pwd.getpwnam(self.name).pw_gid

    @property
    def environment(self) -> dict[str, str]:
        return {"HOME": str(self.home), "USER": self.name, "LOGNAME": self.name, "PATH": "/usr/local/bin:/usr/bin:/bin", "LANG": "C.UTF-8",
                "XDG_RUNTIME_DIR": str(self.runtime), "XDG_DATA_HOME": str(self.home / "data"), "XDG_CONFIG_HOME": str(self.home / "config"),
                "XDG_CACHE_HOME": str(self.home / "cache"), "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"}

    def become(self) -> None:
        """In a child: be this user, for good."""
        os.setgroups([])
        os.setresgid(self.gid, self.gid, self.gid)
        os.setresuid(self.uid, self.uid, self.uid)
        prctl(PR_SET_DUMPABLE, 1)                         # as after an execve: /proc/self is its own again
        os.environ.clear()
        os.environ.update(self.environment)
        os.chdir(self.home)
        os.umask(0o022)

    def run(self, argv: Sequence[str], **options: Any) -> "subprocess.CompletedProcess[str]":
        """subprocess.run as the user; text, output captured."""
        options = {"text": True, "capture_output": True, "cwd": self.home, **options}
        environment = {**self.environment, **options.pop("env", {})}
        return subprocess.run(argv, user=self.uid, group=self.gid, extra_groups=[], env=environment, **options)

    def python(self, program: str, **options: Any) -> "subprocess.CompletedProcess[str]":
        """Run a Python program text as the user."""
        return self.run([sys.executable, "-c", program], **options)

    def call(self, function: Callable[..., T], *arguments: Any) -> T:
        """function(*arguments) in a fork as the user; its result (picklable). An exception fails the test with its traceback."""
        def there() -> T:
            self.become()
            return function(*arguments)

        return in_fork(there)

    def directory(self, path: Path) -> Path:
        """`path` made, and the user's."""
        path.mkdir(parents=True, exist_ok=True)
        os.chown(path, self.uid, self.gid)
        return path


# what is tested here is done as root, or as root of a user namespace, which another test enters
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root: owners are given away, roots changed, file systems mounted")
WITH_SUBIDS = User("pybuild-test", 47001, 4700000)
WITHOUT_SUBIDS = User("pybuild-single", 47002, 0)
