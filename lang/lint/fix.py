"""Mends what can be mended safely: a text and its findings go in, the text with their edits comes out; the rest of it stays as it is."""

from lang.lint.linter import Surroundings, lint
from lang.parser import parse
from lang.source import Source

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from lang.lint.finding import Finding
    from lang.parser import Include

ROUNDS = 10


def fix(source: Source, surroundings: Surroundings, include: "Include | None" = None) -> str:
    """The text without the findings that have edits. Included files are looked at, not changed.

    Raises LangError. Law: fix(fix(text)) == fix(text).
    """
    text, syntax = source.text, surroundings.build_args.get("BUILDKIT_SYNTAX")
    for _ in range(ROUNDS):
        mended = mend(text, lint(parse(Source(source.name, text), include, syntax), surroundings, more=True).findings)
        if mended == text:
            break
        text = mended
    return text


def mend(text: str, findings: "Iterable[Finding]") -> str:
    """The text with the edits of findings; of edits that overlap the first counts."""
    pieces: list[str] = []
    at = 0
    for edit in sorted({edit for finding in findings for edit in finding.edits}, key=lambda edit: (edit.span.start, edit.span.end)):
        if edit.span.start >= at:
            pieces += [text[at:edit.span.start], edit.text]
            at = edit.span.end
    return "".join(pieces) + text[at:]
