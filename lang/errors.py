"""What is wrong with a Dockerfile. Every error knows its place; facts are attributes, the sentence is made in `__str__`."""

from lang.diagnostic import Diagnostic
from lang.source import NOWHERE, Source, Span

TYPE_CHECKING = False
if TYPE_CHECKING:
    from lang.nodes import Word

LIMIT = 20                                                # errors that one run reports


class LangError(Exception):
    """A Dockerfile that says something impossible at `span` of `source`. `help`: the way out in one line, or ""."""

    def __init__(self, source: Source, span: Span, message: str, help: str = "") -> None:
        super().__init__(message)
        self.source = source
        self.span = span
        self.help = help

    def diagnostics(self) -> tuple[Diagnostic, ...]:
        """What to show: one for each error, in the order of their places."""
        return (Diagnostic("error", str(self), self.source, self.span, self.help),)


class LangErrors(LangError):
    """Several errors found in one run."""

    def __init__(self, errors: tuple[LangError, ...]) -> None:
        self.errors = tuple(sorted(errors, key=lambda error: error.span.start))[:LIMIT]
        self.omitted = len(errors) - len(self.errors)
        first = self.errors[0]
        super().__init__(first.source, first.span, str(first), first.help)

    def diagnostics(self) -> tuple[Diagnostic, ...]:
        return tuple(diagnostic for error in self.errors for diagnostic in error.diagnostics())


class SyntaxFault(LangError):
    """Text that fits no rule of the language."""


class Misread(ValueError):
    """A part of a value that does not read, from `start` to `end` of its text."""

    def __init__(self, message: str, start: int, end: int) -> None:
        super().__init__(message)
        self.start = start
        self.end = end


class UnknownInstruction(SyntaxFault):
    """A line that begins with no instruction's name."""

    def __init__(self, source: Source, span: Span, word: str, help: str = "") -> None:
        super().__init__(source, span, f"unknown instruction `{word}`" if word else "no instruction in this line", help)
        self.word = word


class UnknownFlag(SyntaxFault):
    """A flag that its instruction does not have."""

    def __init__(self, source: Source, span: Span, instruction: str, flag: str, help: str = "") -> None:
        super().__init__(source, span, f"{instruction} has no flag `--{flag}`", help)
        self.instruction = instruction
        self.flag = flag


class BadWord(LangError):
    """A word whose quotes or `$` do not add up, or a `${name:?message}` that fired."""


class UndefinedStage(LangError):
    """A name or number that no stage has; or one that a stage has which begins only later, in line `begins`."""

    def __init__(self, source: Source, span: Span, stage: str, help: str = "", begins: int = 0) -> None:
        message = f"the stage `{stage}` begins only later, at line {begins}" if begins else f"no stage named `{stage}`"
        super().__init__(source, span, message, help)
        self.stage = stage
        self.begins = begins


class UnknownTarget(LangError):
    """A target that is asked for, and is no stage: nothing in the file is wrong, so no place in it is told."""

    def __init__(self, source: Source, target: str, help: str = "") -> None:
        super().__init__(source, NOWHERE, f"the target `{target}` is no stage of `{source.name}`", help)
        self.target = target


class CircularStage(LangError):
    """A stage that needs itself, perhaps by way of others."""


def at_fault(error: ValueError, word: "Word", text: str) -> Span:
    """What to point at when the value `text` of `word` does not read: the part of it that is named, if the word is the value as it is written."""
    if not isinstance(error, Misread) or word.text != text:
        return word.span
    return word.part(error.start, text[error.start:error.end]).span


def together(errors: "list[LangError]") -> LangError:
    """The one error, or all of them as one, each once. `errors` is not empty."""
    each = dict.fromkeys(one for error in errors for one in (error.errors if isinstance(error, LangErrors) else (error,)))
    return next(iter(each)) if len(each) == 1 else LangErrors(tuple(each))
