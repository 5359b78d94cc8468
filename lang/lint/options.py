"""Which rules apply where: `# check=...`, `# hadolint ignore=...`, at the head of a file or above an instruction."""

from kernel.value import Value
from lang.errors import SyntaxFault
from lang.lint.finding import EXPERIMENTAL
from lang.nodes import Dockerfile, Raw, Word
from lang.source import Source, Span

TRUE, FALSE = ("1", "t", "T", "TRUE", "true", "True"), ("0", "f", "F", "FALSE", "false", "False")


class Options(Value):
    """The options of a file. Sets of rule names; "all" is every rule."""

    skip: "frozenset[str]" = frozenset()
    experimental: "frozenset[str]" = frozenset()
    error: bool = False

    def applies(self, rule: str) -> bool:
        """Whether a rule is on in this file."""
        if rule in EXPERIMENTAL:
            return rule in self.experimental or "all" in self.experimental
        return not (rule in self.skip or "all" in self.skip)


def parse_options(text: str, source: Source, span: Span) -> Options:
    """skip=A,B;error=true;experimental=A. Raises SyntaxFault."""
    found = Options()
    for part in text.strip().split(";", 2) if text.strip() else ():
        name, equals, value = (piece.strip() for piece in part.partition("="))
        names = frozenset(item.strip() for item in value.split(","))
        if equals and name == "skip":
            found = found._replace(skip=names)
        elif equals and name == "experimental":
            found = found._replace(experimental=names)
        elif equals and name == "error":
            if value not in TRUE + FALSE:
                raise SyntaxFault(source, span, f"`{value}` is neither true nor false", "error=true")
            found = found._replace(error=value in TRUE)
        else:
            raise SyntaxFault(source, span, f"`{part.strip()}` is no check option", "skip=..., error=true and experimental=...")
    return found


def options_of(dockerfile: Dockerfile, override: "str | None" = None) -> Options:
    """The options of a file. override: of the build argument BUILDKIT_DOCKERFILE_CHECK, instead. Raises SyntaxFault."""
    directive = next((d for d in dockerfile.directives if d.name == "check"), None)
    if override is not None:
        return parse_options(override, Source("BUILDKIT_DOCKERFILE_CHECK", override), Span(0, len(override)))
    found = parse_options(directive.value, dockerfile.source, directive.span) if directive else Options()
    for instruction in dockerfile.instructions:
        for comment in instruction.raw.comments:
            found = found._replace(skip=found.skip | _hadolint(comment, "global ignore"))
    return found


def skipped(raw: Raw) -> frozenset[str]:
    """The rules that comments above an instruction switch off for it."""
    found: frozenset[str] = frozenset()
    for comment in raw.comments:
        name, equals, value = comment.text.partition("=")
        if equals and name.strip().lower() == "check":
            for part in value.strip().split(" ")[0].split(";"):
                key, _, names = part.partition("=")
                if key.strip() == "skip":
                    found |= frozenset(item.strip() for item in names.split(","))
        found |= _hadolint(comment, "ignore")
    return found


def _hadolint(comment: Word, kind: str) -> frozenset[str]:
    head, equals, names = comment.text.partition("=")
    if not equals or " ".join(head.split()) != f"hadolint {kind}":
        return frozenset()
    names = names.partition("#")[0]
    return frozenset(name for part in names.split(",") for name in part.split()[:1])
