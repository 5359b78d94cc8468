"""What can go wrong while an image is built. Facts as attributes; where in the Dockerfile it happened is `span` in `source`."""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from lang.source import Source, Span
    from store.digest import Digest


class BuildError(Exception):
    """The build cannot go on. `span` in `source` is where, if anywhere; `help` one line with the way out, or "".

    `word`: of the Dockerfile, what it is about: if the instruction has it, `span` is narrowed to that.
    """

    help = word = ""

    def __init__(self, message: str, *, span: "Span | None" = None, source: "Source | None" = None, help: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.span = span
        self.source = source
        self.help = help or self.help

    def __str__(self) -> str:
        return self.message

    def at(self, span: "Span | None", source: "Source | None") -> "BuildError":
        """The same error with its position, where the position is known; an inner position stays."""
        if self.span is None:
            self.source = source
            self.span = span if span is None or source is None or not self.word else _narrowed(span, source, self.word)
        return self


def _narrowed(span: "Span", source: "Source", word: str) -> "Span":
    """Where a word stands in a span: after white space or a quote rather than after `/`, and there rather than after `=`."""
    text = f"{source.text[span.start:span.end]}\n"
    for before in (" \t\n'\"", "/", "="):
        at = text.find(word)
        while at >= 0:
            end = at + len(word)
            if text[at - 1:at] and text[at - 1] in before and text[end] in " \t\r\n'\",/":
                return span._replace(start=span.start + at, end=span.start + end)
            at = text.find(word, at + 1)
    return span


class StepFailed(BuildError):
    """A step ended badly: its process with `exit_status`, or (then None) the tool while it ran the step."""

    def __init__(self, message: str, *, label: str = "", exit_status: int | None = None, log: bytes = b"", span: "Span | None" = None,
                 source: "Source | None" = None, help: str = "") -> None:
        super().__init__(message, span=span, source=source, help=help)
        self.label = label
        self.exit_status = exit_status
        self.log = log                        # the end of what it printed, for printers that have not shown it
        self.vertex = -1                      # which step of the graph
        self.kept: dict[str, Any] = {}        # its files, if the request wants them: as SandboxExecutor.adopt takes them


class ContextMissing(BuildError):
    """The build context is not there, or is no directory."""

    def __init__(self, path: str, help: str = "") -> None:
        super().__init__(f"the build context `{path}` does not exist", help=help)
        self.path = path


class DockerfileMissing(BuildError):
    """No Dockerfile where one was looked for."""

    def __init__(self, path: str, help: str = "") -> None:
        super().__init__(f"there is no file `{path}`", help=help)
        self.path = path


class CopySourceMissing(BuildError):
    """A path that COPY or ADD names is not in its context, stage or image."""

    def __init__(self, path: str, where: str, help: str = "") -> None:
        super().__init__(f"`{path}` does not exist in {where}", help=help)
        self.path = self.word = path
        self.where = where


class ImageMissing(BuildError):
    """A base image is neither in the store nor to be had. why: what was found out about the latter, or ""."""

    def __init__(self, name: str, help: str = "", why: str = "") -> None:
        super().__init__(f"there is no image `{name}` on this machine{f', and {why}' if why else ''}", help=help)
        self.name = self.word = name
        self.why = why


class LayersLost(BuildError):
    """Results of another machine's cache were counted on, and their files cannot be had: the steps of these keys have to run here."""

    def __init__(self, keys: "tuple[Digest, ...]", reason: str) -> None:
        super().__init__(f"the build goes on without a cached result: {reason}")
        self.keys, self.reason = keys, reason


class Cancelled(BuildError):
    """Stopped because another step failed, or by the user."""

    def __init__(self) -> None:
        super().__init__("cancelled")
