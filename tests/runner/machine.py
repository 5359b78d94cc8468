"""A machine that can go down: namespaces of its own for mounts, network and processes, with a boot ID of its own, in which commands are run.

When it is crashed the kernel kills everything in it at once, and takes network and mounts away: what a power cut leaves is what is on the disk.
"""

import os
import shutil
import subprocess
import uuid
from pathlib import Path

from tests.tool import Tool

OURS = ("sandbox.zygote", "runner.agent")                 # processes that stay for a while when nothing runs any more


class Machine(Tool):
    """Runs pybuild and pyup in the machine, which is up from the first."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self._process: "subprocess.Popen[bytes] | None" = None
        self.boot()

    def boot(self) -> None:
        script = 'mount --bind "$1" /proc/sys/kernel/random/boot_id && ip link set lo up && echo up && exec sleep infinity'
        boot_id = self.root.parent / "boot_id"
        boot_id.write_text(f"{uuid.uuid4()}\n")
        argv = ["unshare", "--mount", "--net", "--pid", "--fork", "--mount-proc", "--kill-child", "sh", "-c", script, "sh", str(boot_id)]
        self._process = subprocess.Popen(argv, stdout=subprocess.PIPE)
        assert self._process.stdout
        with self._process.stdout as said:
            assert said.readline() == b"up\n"
        self._init = int(Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children").read_text())
        self.mounts = self._mounts()

    def crash(self, *, keep_run: bool = True) -> None:
        """Everything is killed. keep_run: files of sockets and locks stay, as with --root; else as in /run, which is empty after a start."""
        assert self._process
        os.kill(self._init, 9)
        self._process.wait()
        if not keep_run:
            shutil.rmtree(self.root / "run", ignore_errors=True)

    def argv(self, program: str, *words: str) -> list[str]:
        return [*self.inside(), *super().argv(program, *words)]

    def inside(self) -> list[str]:
        return ["sh", "-c", f'exec nsenter -t {self._init} -m -n -p -- sh -c \'cd "$0" && exec "$@"\' "$PWD" "$@"', "sh"]

    def sh(self, line: str) -> str:
        return subprocess.run([*self.inside(), "sh", "-c", line], capture_output=True, text=True, check=True).stdout

    # ---------------------------------------------------------------- what is left
    def _mounts(self) -> list[str]:
        return sorted(line.split()[4] for line in Path(f"/proc/{self._init}/mountinfo").read_text().splitlines())

    def processes(self) -> list[str]:
        """Command lines of everything that runs in it, but for init and what lists them."""
        found = (_text(path / "cmdline").replace("\0", " ").replace("\n", " ") for path in self._living() if path.name != str(self._init))
        return [words for words in found if words]

    def pids(self, name: str) -> list[int]:
        """Of processes that `ps` shows with this name, or one that begins so; not of those in containers."""
        return [int(path.name) for path in self._living() if _text(path / "comm").startswith(name)]

    def _living(self) -> list[Path]:
        own, found = os.readlink(f"/proc/{self._init}/ns/pid"), []
        for path in Path("/proc").glob("[0-9]*"):
            try:
                if os.readlink(path / "ns/pid") == own:
                    found.append(path)
            except OSError:
                continue                                  # it has just ended
        return found

    def leftovers(self) -> list[str]:
        """What is there although nothing runs: processes that keep something, interfaces, mounts, directories of containers."""
        found = [words for words in self.processes() if not any(one in words for one in OURS)]
        found += [line.split()[1] for line in self.sh("ip -o link").splitlines() if line.split()[1] not in ("lo:",)]
        found += [path for path in self._mounts() if path not in self.mounts]
        containers = self.root / "containers"
        return found + [str(path) for path in (containers.iterdir() if containers.exists() else ())]


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""                                         # it has just ended
