"""What is wrong with the files and what should be said about them, gathered so that one run tells all."""

from lang.diagnostic import Diagnostic
from lang.source import Source, Span
from runner.errors import InvalidCompose

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from runner.load.tree import Mark

FULL = 200                                                # faults after which looking for more helps nobody


class Report:
    """Faults (the project cannot be used) and warnings (it can), with their places."""

    __slots__ = ("_said", "faults", "warnings")

    def __init__(self) -> None:
        self.faults: list[Diagnostic] = []
        self.warnings: list[Diagnostic] = []
        self._said: set[str] = set()

    def fault(self, mark: "Mark | None", message: str, help: str = "", key: bool = False) -> None:
        """Note an error at the value (or the key) of `mark`."""
        self.faults.append(_diagnostic("error", mark, message, help, key))
        if len(self.faults) >= FULL:
            self.stop()

    def warn(self, mark: "Mark | None", message: str, help: str = "", key: bool = False) -> None:
        """Note a warning, the first time only."""
        if message not in self._said:
            self._said.add(message)
            self.warnings.append(_diagnostic("warning", mark, message, help, key))

    def stop(self) -> None:
        """Raises InvalidCompose if anything was wrong so far."""
        if self.faults:
            raise InvalidCompose(self.faults)


def _diagnostic(severity: str, mark: "Mark | None", message: str, help: str, key: bool) -> Diagnostic:
    if mark is None:
        mark = (Source("compose file", ""), 0, 0, 0, 0)
    start, end = (mark[1], mark[2]) if key else (mark[3], mark[4])
    return Diagnostic("error" if severity == "error" else "warning", message, mark[0], Span(start, end), help)


def closest(word: str, known: "Iterable[str]") -> str:
    """The one of `known` that `word` most likely stands for, or ""."""
    best, least = "", max(1, len(word) // 3) + 1
    for candidate in known:
        if abs(len(candidate) - len(word)) < least:
            steps = _distance(word, candidate)
            if steps < least:
                best, least = candidate, steps
    return best


def _distance(one: str, other: str) -> int:
    """Edits that make `one` of `other`: insert, delete, replace, swap neighbours."""
    if len(one) > 100 or len(other) > 100:
        return 100
    before: list[int] = []
    row = list(range(len(other) + 1))
    for i, a in enumerate(one, 1):
        before, last, row = row, before, [i] + [0] * len(other)
        for j, b in enumerate(other, 1):
            row[j] = min(before[j] + 1, row[j - 1] + 1, before[j - 1] + (a != b))
            if i > 1 and j > 1 and a == other[j - 2] and one[i - 2] == b:
                row[j] = min(row[j], last[j - 2] + 1)
    return row[-1]
