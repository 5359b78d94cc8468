"""Variables while a Dockerfile is read: the arguments before the first FROM, and what a word becomes in a source."""

from lang.errors import BadWord
from lang.nodes import Word
from lang.source import Source, Span
from lang.words import expand, expand_body, expand_words

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from lang.platform import Platform

PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "FTP_PROXY", "NO_PROXY", "ALL_PROXY")
# arguments that steer the build and are never variables of a RUN
SILENT = ("BUILDKIT_SBOM_SCAN_CONTEXT", "BUILDKIT_SBOM_SCAN_STAGE")


class Expander:
    """Expands words of one file, and puts an error where the word stands.

    unset: collects the names that were looked up and are not set, each with the word it was in; None: nobody asks.
    """

    __slots__ = ("escape", "source", "unset")

    def __init__(self, source: Source, escape: str, unset: "list[tuple[str, Word]] | None" = None) -> None:
        self.source = source
        self.escape = escape
        self.unset = unset

    def word(self, word: Word, env: "Mapping[str, str]") -> str:
        return self.text(word.text, word, env)

    def text(self, text: str, word: Word, env: "Mapping[str, str]") -> str:
        """Expand a part of a word."""
        names: list[str] = []
        try:
            return expand(text, env, self.escape, names)
        except BadWord as error:
            raise self._placed(error, word, word.text.find(text)) from None
        finally:
            self._note(names, word)

    def words(self, word: Word, env: "Mapping[str, str]") -> "list[str]":
        names: list[str] = []
        try:
            return expand_words(word.text, env, self.escape, names)
        except BadWord as error:
            raise self._placed(error, word, 0) from None
        finally:
            self._note(names, word)

    def body(self, text: str, word: Word, env: "Mapping[str, str]") -> str:
        """Expand a heredoc's text; `word` is its announcement."""
        names: list[str] = []
        try:
            return expand_body(text, env, names)
        except BadWord as error:
            raise BadWord(self.source, word.span, f"{error} in the text of `{word.text}`", error.help) from None
        finally:
            self._note(names, word)

    def _note(self, names: "list[str]", word: Word) -> None:
        if self.unset is not None:
            self.unset += [(name, word) for name in names]

    def _placed(self, error: BadWord, word: Word, offset: int) -> BadWord:
        start, end = (max(offset, 0) + at for at in error.span)
        span = Span(word.at(start), max(word.at(end - 1) + 1, word.at(start) + 1))
        if word.end - word.start != len(word.text) and not word.breaks:
            span = word.span
        return BadWord(self.source, span, str(error), error.help)


def platform_arguments(target: "Platform", build: "Platform", stage: str) -> dict[str, str]:
    """The arguments that are there without being declared, in FROM; ARG without a value brings one into a stage."""
    found: dict[str, str] = {}
    for prefix, platform in (("BUILD", build), ("TARGET", target)):
        found |= {f"{prefix}PLATFORM": str(platform), f"{prefix}OS": platform.os, f"{prefix}OSVERSION": platform.os_version,
                  f"{prefix}ARCH": platform.architecture, f"{prefix}VARIANT": platform.variant}
    found["TARGETSTAGE"] = stage or "default"
    return found


def proxies(build_args: "Mapping[str, str]") -> "tuple[tuple[str, str], ...]":
    """The proxy settings among the build arguments, each under its name in capitals and in small letters."""
    found = {name.upper(): value for name, value in build_args.items() if name.upper() in PROXIES and value}
    return tuple((cased, found[name]) for name in PROXIES if name in found for cased in (name, name.lower()))
