"""The syntax of file patterns (ignore files, `--exclude`): says where a pattern does not read. Matching is done by whoever has the paths.

Source: Go's filepath.Match for the brackets.
"""

from lang.errors import Misread


def check_glob(text: str) -> None:
    """Raises Misread for a bracket that does not read and for an escape of nothing."""
    at = 0
    while at < len(text):
        if text[at] == "\\":
            at += 1
            if at == len(text):
                raise Misread("a `\\` at its end", at - 1, at)
        elif text[at] == "[":
            end = class_end(text, at + 1)
            if end < 0:
                raise Misread("its bracket does not read", at, len(text))
            at = end
        at += 1


def class_end(text: str, at: int) -> int:
    """Where the `]` of a class that begins at `at` is, -1 if it does not read: empty, a range without an end or backwards."""
    at += text.startswith("^", at)
    first = True
    while True:
        if text.startswith("]", at) and not first:
            return at
        first = False
        low, at = _item(text, at)
        if not low:
            return -1
        if text.startswith("-", at):
            high, at = _item(text, at + 1)
            if not high or high < low:
                return -1


def _item(text: str, at: int) -> "tuple[str, int]":
    """A character of a class, perhaps escaped; "" where there is none."""
    if text[at:at + 1] in ("", "-", "]"):
        return "", at
    at += text[at] == "\\"
    return text[at:at + 1], at + 1
