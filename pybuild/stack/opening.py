"""The engine of this user, for the commands of pyup: store, zygote and networks, each only as far as the command needs it."""

import os
import sys

from runner.agent.absence import is_missed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from pybuild.scanner import Options
    from runner.agent.client import Agent
    from runner.agentless import Agentless
    from runner.contact import Contact
    from runner.engine import Engine
    from sandbox.client import Client
    from store.store import Store

SHIM = "runner.shim"


def zygote(run: str) -> "Client":
    """The same one for every command: what it can run is part of its address."""
    from sandbox.client import connect

    return connect(run, shim=SHIM)


def warn_of(contact: "Contact") -> None:
    """Say what a container that was just started does not have as it was asked for."""
    for text in contact.warnings:
        print(f"warning: {text}", file=sys.stderr)


class opened:                                             # a context manager, used as a function
    """`with opened(options) as engine`. owner: the command handles files of several owners, so an ordinary user's enters its user namespace.

    note: takes what networks and containers want the user to know; a command that draws may put its own there.
    """

    def __init__(self, options: "Options", *, owner: bool = False) -> None:
        self._options = options
        self._owner = owner
        self.note: "Callable[[str], None]" = _note

    def __enter__(self) -> "Engine":
        from pybuild.place import open_store
        from runner.engine import Engine

        self._store: Store = open_store(self._options)
        run = self._store.root.run
        if self._owner and os.geteuid():
            from sandbox.userns import enter

            with zygote(run) as client:
                enter(run, client)
        self._engine = Engine(self._store, lambda: zygote(run), lambda: network(self._store.root.path, run, lambda text: self.note(text)))
        self._engine.note = lambda text: self.note(text)
        if is_missed(run):                                # names and published ports of what runs come back
            self._restore(run)
        return self._engine

    def _restore(self, run: str) -> None:
        """A command that needs no network works without an agent all the same."""
        from runner.agent.errors import NetworkError

        try:
            network(self._store.root.path, run, lambda text: self.note(text)).restore()
        except NetworkError as error:
            self.note(str(error))

    def __exit__(self, *what: object) -> None:
        self._engine.close()
        self._store.close()


def network(root: str, run: str, say: "Callable[[str], None] | None" = None) -> "Agent | Agentless":
    """Who keeps the networks of this root; asked for anything, it is started. say: as Agent takes it."""
    from sandbox.isolation import may_lack_namespaces

    if may_lack_namespaces():
        from runner.agentless import Agentless, is_needed

        if is_needed():
            return Agentless(root, run)
    from runner.agent.client import Agent

    return Agent(root, run, say=say)


def _note(text: str) -> None:
    print(f"note: {text}", file=sys.stderr, flush=True)
