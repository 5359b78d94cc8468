"""What expect.toml says of a stack, step by step: a table [[step]] for each thing that is done, in order, and what is to be seen then.

    pyup = "up -d --wait"       run it; exit = 0, stdout, stderr: text that is printed, exact: all of stdout; unchanged: services with the same containers
    background = "watch"        run it until the end
    curl = "web:8080/path"      ask where that port is published, until the answer contains `contains`; data: to be posted
    distinct = "web:8080/"      ask until `count` different answers have come
    logs = "web"                until they contain `contains`; profile: that is on
    edit = "file"               replace = [old, new]
    write = "file"              text
"""

import shlex
import signal
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.tool import Done, Tool

PATIENCE_S = 60.0
KEYS = {"pyup": {"exit", "stdout", "stderr", "exact", "unchanged", "env"}, "background": set(), "curl": {"contains", "data"}, "distinct": {"count"},
        "logs": {"contains", "profile"}, "edit": {"replace"}, "write": {"text"}}


class Play:
    """The steps of one example, in a copy of its folder."""

    def __init__(self, tool: Tool, directory: Path, env: dict[str, str]) -> None:
        self.tool, self.directory, self.env = tool, directory, env
        self._running: list[subprocess.Popen[bytes]] = []

    def step(self, step: dict[str, Any]) -> None:
        kind = next((kind for kind in KEYS if kind in step), "")
        assert kind and not set(step) - {kind} - KEYS[kind], f"there is no such step: {step}"
        getattr(self, f"_{kind}")(step)

    def pyup(self, line: str, env: dict[str, str] | None = None) -> Done:
        return self.tool.run("pyup", *shlex.split(line), cwd=self.directory, env={**self.env, **(env or {})})

    def close(self) -> None:
        """End what runs, take the stack down, and see that nothing of it is left."""
        for process in self._running:
            process.send_signal(signal.SIGINT)
            process.wait(PATIENCE_S)
        self.pyup("--profile * down -v -t 0 --remove-orphans").ok()
        assert self.pyup("ps -a -q").ok().out == ""
        assert self.pyup("volume ls -q").ok().out == ""

    # ---------------------------------------------------------------- kinds of steps
    def _pyup(self, step: dict[str, Any]) -> None:
        kept = {service: self._ids(service) for service in step.get("unchanged", ())}
        done = self.pyup(step["pyup"], step.get("env"))
        assert done.status == step.get("exit", 0), done
        assert step.get("stdout", "") in done.out and step.get("stderr", "") in done.err, done
        assert not step.get("exact") or done.out == step["stdout"], done
        for service, ids in kept.items():
            assert ids and ids <= self._ids(service), f"{service} was made anew"

    def _background(self, step: dict[str, Any]) -> None:
        argv = self.tool.argv("pyup", *shlex.split(step["background"]))
        self._running.append(subprocess.Popen(argv, cwd=self.directory, env={**self.tool.env, **self.env}, stdout=subprocess.DEVNULL,
                                              stderr=subprocess.DEVNULL))

    def _curl(self, step: dict[str, Any]) -> None:
        _await(lambda: self._ask(step["curl"], step.get("data")), lambda answer: step.get("contains", "") in answer)

    def _distinct(self, step: dict[str, Any]) -> None:
        answers: set[str] = set()
        _await(lambda: answers.add(self._ask(step["distinct"])), lambda _: len(answers) == step["count"])

    def _logs(self, step: dict[str, Any]) -> None:
        profile = f"--profile {step['profile']} " if "profile" in step else ""

        def logs() -> str:
            done = self.pyup(f"{profile}logs --no-color {step['logs']}").ok()
            return done.out + done.err
        _await(logs, lambda text: step["contains"] in text)

    def _edit(self, step: dict[str, Any]) -> None:
        path, (old, new) = self.directory / step["edit"], step["replace"]
        text = path.read_text()
        assert old in text, f"{path} does not contain {old!r}"
        path.write_text(text.replace(old, new))

    def _write(self, step: dict[str, Any]) -> None:
        (self.directory / step["write"]).write_text(step["text"])

    # ---------------------------------------------------------------- looking
    def _ids(self, service: str) -> set[str]:
        return set(self.pyup(f"ps -a -q {service}").ok().out.split())

    def _ask(self, where: str, data: str | None = None) -> str:
        """What is answered at "service:port/path"; why nothing is, as text too."""
        service, _, rest = where.partition(":")
        port, _, path = rest.partition("/")
        found = self.pyup(f"port {service} {port}")
        if found.status:
            return repr(found)
        try:
            with urllib.request.urlopen(f"http://{found.out.strip()}/{path}", data=data.encode() if data else None, timeout=5) as answer:
                return str(answer.read().decode())
        except (OSError, urllib.error.HTTPError) as error:
            return repr(error)


def _await(look: Callable[[], Any], holds: Callable[[Any], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not holds(seen := look()):
        assert time.monotonic() < deadline, f"it did not come true; last seen: {seen}"
        time.sleep(0.05)


@contextmanager
def playing(tool: Tool, directory: Path, env: dict[str, str]) -> Iterator[Play]:
    """Whatever happens, nothing goes on afterwards."""
    play = Play(tool, directory, env)
    try:
        yield play
    finally:
        play.close()
