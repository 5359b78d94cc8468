"""--chmod: a mode in octal, or what to change, as chmod(1) takes it. The parsed value says what becomes of a file's mode."""

from kernel.value import Value
from lang.errors import Misread

WHO = {"u": 0o700, "g": 0o070, "o": 0o007}
SHIFT = {"u": 6, "g": 3, "o": 0}
BITS = {"r": 4, "w": 2, "x": 1}


class Change(Value):
    """One of `u=rwX`, `go-w`, `g=u`. who: letters of u, g and o; permissions: letters of rwxXst, or one of ugo."""

    who: str
    operator: str
    permissions: str


class Chmod(Value):
    """A mode for everything, or changes to each file's own; `text` is how it was written."""

    text: str
    mode: "int | None"
    changes: "tuple[Change, ...]" = ()

    def apply(self, mode: int, directory: bool) -> int:
        """The permission bits (07777) that a file of `mode` gets."""
        if self.mode is not None:
            return self.mode
        mode &= 0o7777
        for change in self.changes:
            mode = _apply(change, mode, directory)
        return mode


def parse_chmod(text: str) -> Chmod:
    """Raises Misread, at the part that does not read."""
    if text[:1].isdecimal():
        if not text.isascii() or text.strip("01234567") or len(text) > 20 or int(text, 8) > 0o7777:
            raise Misread(f"`{text}` is no mode: 0 to 07777 in octal", 0, len(text))
        return Chmod(text, int(text, 8))
    changes: list[Change] = []
    at = 0
    for clause in text.split(","):
        changes += _clause(clause, text, at)
        at += len(clause) + 1
    return Chmod(text, None, tuple(changes))


def _clause(clause: str, text: str, at: int) -> list[Change]:
    """The changes of a clause, which stands at `at` in the text."""
    rest = clause.lstrip("ugoa")
    named = clause[:len(clause) - len(rest)]
    who = "ugo" if not named or "a" in named else "".join(sorted(set(named), key="ugo".index))
    found: list[Change] = []
    while rest:
        operator, rest = rest[0], rest[1:]
        after = rest.lstrip("rwxXst")
        permissions = rest[:len(rest) - len(after)]
        if not permissions and after[:1] in ("u", "g", "o"):
            permissions, after = after[0], after[1:]
        wrong = operator + rest if operator not in "+-=" else after if after and after[0] not in "+-=" else ""
        if wrong:
            raise Misread(f"`{text}` is no mode", at + len(clause) - len(wrong), at + len(clause))
        found.append(Change(who, operator, permissions))
        rest = after
    if not found:
        raise Misread(f"`{text}` is no mode", at, at + len(clause))
    return found


def _apply(change: Change, mode: int, directory: bool) -> int:
    triple = 0
    special = 0
    for letter in change.permissions:
        if letter in SHIFT:
            triple |= mode >> SHIFT[letter] & 7
        elif letter == "X":
            triple |= 1 if directory or mode & 0o111 else 0
        elif letter == "s":
            special |= (0o4000 if "u" in change.who else 0) | (0o2000 if "g" in change.who else 0)
        elif letter == "t":
            special |= 0o1000 if "o" in change.who else 0
        else:
            triple |= BITS[letter]
    bits = special
    mask = 0
    for who in change.who:
        bits |= triple << SHIFT[who]
        mask |= WHO[who] | {"u": 0o4000, "g": 0o2000, "o": 0o1000}[who]
    if change.operator == "+":
        return mode | bits
    if change.operator == "-":
        return mode & ~bits
    kept = mode & (0o6000 if directory else 0)            # `=` leaves a directory's set-id bits alone, as chmod(1) does
    return (mode & ~mask) | bits | kept
