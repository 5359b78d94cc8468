"""What was probably meant: the known word that is nearest to the one that was written."""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable


def nearest(word: str, known: "Iterable[str]", prefix: str = "") -> str:
    """A help line that names the nearest known word, "" if none is near. prefix: is put before it (`--`)."""
    best, least = "", 3 if len(word) > 3 else 2
    for candidate in known:
        if abs(len(candidate) - len(word)) < least:
            distance = _distance(word.lower(), candidate.lower(), least)
            if distance < least and distance < max(len(word), len(candidate)):
                best, least = candidate, distance
    return f"did you mean `{prefix}{best}`?" if best else ""


def _distance(one: str, other: str, limit: int) -> int:
    """Insertions, deletions, replacements and exchanges of neighbours that make `one` into `other`; `limit` if there are more."""
    before: list[int] = []
    row = list(range(len(other) + 1))
    for i, a in enumerate(one):
        last, row, older = row, [i + 1], before
        for j, b in enumerate(other):
            cost = min(last[j + 1] + 1, row[j] + 1, last[j] + (a != b))
            if i and j and a == other[j - 1] and one[i - 1] == b:
                cost = min(cost, older[j - 1] + 1)
            row.append(cost)
        before = last
        if min(row) >= limit:
            return limit
    return row[-1]
