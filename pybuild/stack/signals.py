"""Signals in a loop: each is noted, and told to the loop by a descriptor; none interrupts what is going on."""

import _signal  # type: ignore[import-not-found]
import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from runner.reactor import Reactor

INT, TERM = 2, 15


class Signals:                                            # a context manager, used as a function
    """`with Signals(reactor, handler)`: the handler is called by the reactor with the number of each of these signals."""

    def __init__(self, reactor: "Reactor", handler: "Callable[[int], None]", numbers: "tuple[int, ...]" = (INT, TERM)) -> None:
        self._reactor = reactor
        self._handler = handler
        self._numbers = numbers

    def __enter__(self) -> "Signals":
        self._read, self._write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._before: "Any" = _signal.set_wakeup_fd(self._write)
        self._old = {number: _signal.signal(number, lambda *_: None) for number in self._numbers}
        self._reactor.watch(self._read, self._on_signal)
        return self

    def _on_signal(self) -> None:
        number = os.read(self._read, 1)[0]               # the next one stays for the next turn, whatever the handler raises
        if number in self._numbers:
            self._handler(number)

    def __exit__(self, *what: object) -> None:
        for number, handler in self._old.items():
            _signal.signal(number, handler)
        _signal.set_wakeup_fd(self._before)
        self._reactor.forget(self._read)
        os.close(self._read)
        os.close(self._write)
