"""Shortcuts of `up` in the foreground: single keys that are read from the terminal as they are pressed. ^C stays what it is."""

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

    from runner.reactor import Reactor

HINT = "d: detach, and leave all running   w: watch sources, or stop watching   ^C: stop all"
_STDIN = 0


def is_possible() -> bool:
    """Whether keys can be read: from a terminal, by whoever is in its foreground."""
    try:
        return os.isatty(_STDIN) and os.isatty(1) and os.tcgetpgrp(_STDIN) == os.getpgrp()
    except OSError:
        return False


class Menu:                                               # a context manager, used as a function
    """`with Menu(reactor, keys)`: what belongs to a key is called by the reactor when it is pressed."""

    def __init__(self, reactor: "Reactor", keys: "Mapping[bytes, Callable[[], None]]") -> None:
        self._reactor = reactor
        self._keys = keys

    def __enter__(self) -> "Menu":
        import termios

        self._before: "list[Any]" = termios.tcgetattr(_STDIN)
        now = termios.tcgetattr(_STDIN)
        now[3] &= ~(termios.ICANON | termios.ECHO)
        termios.tcsetattr(_STDIN, termios.TCSANOW, now)
        self._reactor.watch(_STDIN, self._on_key)
        return self

    def _on_key(self) -> None:
        try:
            key = os.read(_STDIN, 1)
        except OSError:
            key = b""
        if not key:
            self._reactor.forget(_STDIN)                  # the terminal is gone
        elif found := self._keys.get(key.lower()):
            found()

    def __exit__(self, *what: object) -> None:
        import termios

        self._reactor.forget(_STDIN)
        try:
            termios.tcsetattr(_STDIN, termios.TCSANOW, self._before)
        except termios.error:
            pass                                          # the terminal is gone
