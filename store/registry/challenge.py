"""What a registry wants to be told: WWW-Authenticate. In: header values; out: challenges. Pure."""

from kernel.value import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

_BREAKS = " \t,=\""


class Challenge(Value):
    """scheme: in small letters ("basic", "bearer"); parameters: names in small letters."""

    scheme: str
    parameters: "tuple[tuple[str, str], ...]" = ()

    def get(self, name: str) -> str:
        return dict(self.parameters).get(name, "")


def parse_challenges(values: "Iterable[str]") -> "tuple[Challenge, ...]":
    """All challenges of all headers, in order. What cannot be read is left out."""
    return tuple(challenge for value in values for challenge in _Scanner(value).challenges())


class _Scanner:
    def __init__(self, text: str) -> None:
        self._text, self._at = text, 0

    def challenges(self) -> "list[Challenge]":
        found: "list[tuple[str, list[tuple[str, str]]]]" = []
        while True:
            self._skip(" \t,")
            word = self._word()
            if not word:
                break
            self._skip(" \t")
            if self._peek() == "=" and found:
                self._at += 1
                self._skip(" \t")
                found[-1][1].append((word.lower(), self._value()))
            else:
                found.append((word.lower(), []))
        return [Challenge(scheme, tuple(parameters)) for scheme, parameters in found]

    def _peek(self) -> str:
        return self._text[self._at:self._at + 1]

    def _skip(self, characters: str) -> None:
        while self._peek() and self._peek() in characters:
            self._at += 1

    def _word(self) -> str:
        start = self._at
        while self._peek() and self._peek() not in _BREAKS:
            self._at += 1
        return self._text[start:self._at]

    def _value(self) -> str:
        if self._peek() != '"':
            start = self._at
            while self._peek() and self._peek() not in " \t,":
                self._at += 1
            return self._text[start:self._at]
        self._at += 1
        out = ""
        while (c := self._peek()) and c != '"':
            if c == "\\":
                self._at += 1
                c = self._peek()
            out += c
            self._at += 1
        self._at += 1
        return out
