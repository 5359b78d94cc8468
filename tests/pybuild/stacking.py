"""Stacks for tests: a compose file in a directory of its own, and pyup run on it as a user does."""

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import BUSYBOX
from tests.tool import Done, Tool

PATIENCE_S = 60.0


def with_busybox(root: Path) -> Tool:
    """Commands on this root directory, which has the image `busybox`."""
    if not Path(BUSYBOX).exists():
        pytest.skip("images for tests need busybox (package busybox-static)")
    tool = Tool(root)
    tool.pybuild("base", "busybox", "-t", "busybox")
    return tool


class Stack:
    """`stack(words)` runs pyup in the stack's directory. Everything of it is taken down by `close`."""

    def __init__(self, tool: Tool, directory: Path, text: str, env: dict[str, str] | None = None) -> None:
        self.tool, self.directory = tool, directory
        self.env = {"COMPOSE_PROJECT_NAME": f"p{abs(hash(str(directory))) % 10 ** 9}", **(env or {})}
        directory.mkdir(parents=True, exist_ok=True)
        if tool.user is not None:
            tool.user.directory(directory)
        self.write("compose.yaml", text)

    @property
    def name(self) -> str:
        return self.env["COMPOSE_PROJECT_NAME"]

    def write(self, name: str, text: str) -> Path:
        path = self.directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(0o644)
        return path

    def run(self, *words: str, stdin: bytes = b"", env: dict[str, str] | None = None) -> Done:
        """However it ends."""
        return self.tool.run("pyup", *words, stdin=stdin, cwd=self.directory, env={**self.env, **(env or {})})

    def __call__(self, *words: str, stdin: bytes = b"", env: dict[str, str] | None = None) -> Done:
        """Succeeds, or the test fails with all that was printed."""
        return self.run(*words, stdin=stdin, env=env).ok()

    def fails(self, *words: str, env: dict[str, str] | None = None) -> Done:
        done = self.run(*words, env=env)
        assert done.status, done
        assert "Traceback" not in done.err, done
        return done

    # ---------------------------------------------------------------- looking
    def rows(self, service: str = "") -> list[dict[str, Any]]:
        """What `ps -a` says, by name."""
        found = [json.loads(line) for line in self("ps", "-a", "--format", "json").out.splitlines()]
        return [row for row in found if not service or row["Service"] == service]

    def states(self, service: str) -> list[str]:
        return [row["State"] for row in self.rows(service)]

    def ids(self, service: str) -> list[str]:
        return [row["ID"] for row in self.rows(service)]

    def names(self, service: str) -> list[str]:
        return [row["Name"].removeprefix(f"{self.name}-") for row in self.rows(service)]

    def inspect(self, service: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.tool.pyup("container", "inspect", self.ids(service)[0]).out)[0]
        return found

    def sh(self, service: str, line: str, *options: str) -> str:
        """What a shell line prints in the service's container."""
        return self("exec", "-T", *options, service, "sh", "-c", line).out

    def logs(self, *words: str) -> str:
        return self("logs", "--no-color", *words).out

    def until(self, what: Callable[[], bool]) -> None:
        """Give it time to come true."""
        deadline = time.monotonic() + PATIENCE_S
        while not what():
            assert time.monotonic() < deadline, "it did not come true"
            time.sleep(0.05)

    def close(self) -> None:
        self.run("down", "-v", "-t", "0", "--remove-orphans")


class Stacks:
    """Makes stacks, and takes them down."""

    def __init__(self, tool: Tool, directory: Path) -> None:
        self.tool, self._directory = tool, directory
        self._made: list[Stack] = []

    def __call__(self, text: str, env: dict[str, str] | None = None) -> Stack:
        made = Stack(self.tool, self._directory / f"s{len(self._made)}", text, env)
        self._made.append(made)
        return made

    def close(self) -> None:
        for one in self._made:
            one.close()


def sleeping(more: str = "", name: str = "a") -> str:
    """The text of one service that does nothing."""
    return f"  {name}:\n    image: busybox\n    command: sleep 1000\n    stop_grace_period: 0s\n" + "".join(f"    {line}\n" for line in more.splitlines())


def services(*texts: str) -> str:
    return "services:\n" + "".join(texts)


def closing(made: Stacks) -> Iterator[Stacks]:
    yield made
    made.close()
