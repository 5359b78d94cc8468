"""Waiting for what becomes of a container: by its shim as long as it has one, by the event log otherwise. Nothing is polled."""

import os
import select

from runner.contact import reach
from runner.errors import Missing, ShimLost

TYPE_CHECKING = False
if TYPE_CHECKING:
    from runner.container import Container
    from runner.engine import Engine
    from store.events import Follower

CONDITIONS = ("not-running", "next-exit", "removed")


def wait(engine: "Engine", container: "Container", condition: str) -> "tuple[int, str]":
    """(exit code, error)."""
    from store.events import Follower

    with Follower(engine.store.events) as follower:       # before looking: nothing that happens from now on is missed
        code, error = _until_exit(engine, container, follower, begin=condition == "next-exit")
        if condition == "removed":
            _until_removed(engine, container, follower)
    return code, error


def _until_exit(engine: "Engine", container: "Container", follower: "Follower", *, begin: bool) -> "tuple[int, str]":
    while True:
        contact = reach(engine.place(container.id), container.name)
        if contact is None:
            state = engine.state(container)
            if not begin:
                return state.exit_code, state.error
            _next_event(follower, container.id)
            continue
        with contact:
            try:
                answer = contact.ask("wait")
                while answer[4] and not begin:            # it is restarted: not over yet
                    answer = contact.ask("wait")
            except ShimLost:
                begin = False                             # it was about to end when we came
                continue
            return int(answer[1]), str(answer[2])


def _until_removed(engine: "Engine", container: "Container", follower: "Follower") -> None:
    while True:
        try:
            engine.find(container.id)
        except Missing:
            return
        _next_event(follower, container.id)


def _next_event(follower: "Follower", id: str) -> None:
    """Block until something has happened to this container."""
    wanted = os.fsencode(f'"id":"{id}"')
    poll = select.poll()
    poll.register(follower, select.POLLIN)
    while not any(wanted in line for line in follower.read()):
        poll.poll()
