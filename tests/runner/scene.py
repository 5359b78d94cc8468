"""An engine on a root directory of its own, as root or as an ordinary user; scenes are functions that are given it, and what they return is asserted on.

As a user a scene runs in a fork, so it returns what can be pickled.
"""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from runner.contact import reach
from runner.container import Container, ContainerSpec
from runner.engine import Engine
from runner.errors import Missing
from runner.logreader import LogReader
from runner.state import State
from sandbox import userns
from sandbox.client import Client, connect
from store.root import open_root
from store.store import Store
from tests.tool import Tool
from tests.users import User

T = TypeVar("T")
IMAGE = "busybox"
IDLE_S = 3.0


class Scene:
    def __init__(self, root: Path, user: User | None) -> None:
        self.root = root
        self.user = user
        self.tool = Tool(root, user)

    def do(self, function: Callable[..., T], *arguments: Any) -> T:
        """function(engine, *arguments)."""
        return self.user.call(_perform, str(self.root), function, arguments) if self.user else _perform(str(self.root), function, arguments)

    def pyup(self, *words: str, stdin: bytes = b"") -> str:
        """stdout of a `pyup container` command that succeeds."""
        return self.tool.pyup("container", *words, stdin=stdin).out


def zygote(root: str) -> Client:
    return connect(f"{root}/run", shim="runner.shim", idle_s=IDLE_S)


def _perform(root: str, function: Callable[..., T], arguments: "tuple[Any, ...]") -> T:
    store = Store(open_root(root, f"{root}/run"))
    with zygote(root) as client:
        userns.enter(store.root.run, client)
    with store, Engine(store, lambda: zygote(root)) as engine:
        return function(engine, *arguments)


def prepare(engine: Engine) -> None:
    """The image that every scene uses."""
    from builder.base.image import make_busybox

    if engine.store.images.resolve(IMAGE) is None:
        make_busybox(engine.store, IMAGE)


def clean(engine: Engine) -> "list[str]":
    """Remove every container and volume; what is left in the directory of containers."""
    for container in engine.records.containers():
        try:
            engine.remove(container, force=True, volumes=True)
        except Missing:
            pass
    for volume in engine.records.volumes():
        engine.volumes.remove(volume.name)
    return leftovers(engine)


def leftovers(engine: Engine) -> "list[str]":
    """Names in the directory of containers."""
    path = f"{engine.store.root.path}/containers"
    return os.listdir(path) if os.path.exists(path) else []


# ---------------------------------------------------------------- what scenes are made of
def make(engine: Engine, *command: str, **fields: Any) -> Container:
    """A container of busybox, not started, without a network."""
    return engine.create(ContainerSpec(**{"image": IMAGE, "cmd": command, "network_mode": "none", **fields}))


def run(engine: Engine, *command: str, **fields: Any) -> Container:
    """Started."""
    container = make(engine, *command, **fields)
    start(engine, container)
    return container


def start(engine: Engine, container: Container) -> None:
    contact = engine.start(container)
    assert contact, "it ran already"
    contact.close()


def output(engine: Engine, container: Container) -> str:
    reader = LogReader(engine.place(container.id).log)
    found = b"".join(record.data for record in reader.read()).decode(errors="replace")
    reader.close()
    return found


def finish(engine: Engine, *command: str, **fields: Any) -> "tuple[int, str]":
    """(exit code, output) of a container that is run to its end."""
    container = run(engine, *command, **fields)
    code, _ = engine.wait(container)
    return code, output(engine, container)


def shell(engine: Engine, script: str, **fields: Any) -> "tuple[int, str]":
    return finish(engine, "/bin/sh", "-c", script, **fields)


def await_state(engine: Engine, container: Container, test: Callable[[State], bool]) -> State:
    """The first state for which `test` holds, as its shim or an event tells of it."""
    import select

    from store.events import Follower

    with Follower(engine.store.events) as follower:
        while not test(state := engine.state(container)):
            poll = select.poll()
            poll.register(follower, select.POLLIN)
            assert poll.poll(60_000), f"nothing happens to it: {state}"
            follower.read()
        return state


def await_output(engine: Engine, container: Container, text: str) -> str:
    """Its output as soon as `text` is in it."""
    contact = reach(engine.place(container.id), container.name)
    assert contact, f"it does not run, and has written {output(engine, container)!r}"
    reader, found = LogReader(engine.place(container.id).log), ""
    with contact:
        contact.ask("attach", False)
        while text not in (found := found + "".join(record.data.decode(errors="replace") for record in reader.read())):
            contact.tell("more", reader.generation, reader.offset)
            message, _ = contact.hear()
            assert message and message[0] == "data", f"it has ended, and has written {output(engine, container)!r}"
    reader.close()
    return found
