"""What can be wrong with a project or with running it: facts as attributes, prose in `__str__`."""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from lang.diagnostic import Diagnostic

MOST = 20                                                 # diagnostics that one error carries


class RunError(Exception):
    """The root of this room's errors. `help` is one line with the way out, or ""."""

    help = ""


class InvalidCompose(RunError):
    """A compose file, or a file it names, is wrong: one diagnostic a finding, in the order of their places, at most MOST."""

    def __init__(self, diagnostics: "Iterable[Diagnostic]") -> None:
        found = sorted(set(diagnostics), key=lambda one: (one.source.name, one.span.start, one.message))
        super().__init__(found)
        self.diagnostics: tuple[Diagnostic, ...] = tuple(found[:MOST])
        self.omitted = max(0, len(found) - MOST)

    def __str__(self) -> str:
        lines = []
        for one in self.diagnostics:
            line, column = one.source.position(one.span.start)
            lines.append(f"{one.source.name}:{line}:{column}: {one.message}")
        if self.omitted:
            lines.append(f"and {self.omitted} more")
        return "\n".join(lines)


class FileUnreadable(RunError):
    """A file that the command line or the environment names cannot be read: `reason` says why."""

    def __init__(self, path: str, reason: str, help: str = "") -> None:
        super().__init__(path, reason)
        self.path, self.reason, self.help = path, reason, help

    def __str__(self) -> str:
        return f"`{self.path}`: {self.reason}"


class NoComposeFile(RunError):
    """Neither `directory` nor a directory above it has a compose file."""

    help = "name one with `-f`, or go to a directory that has a `compose.yaml`"

    def __init__(self, directory: str) -> None:
        super().__init__(directory)
        self.directory = directory

    def __str__(self) -> str:
        return f"no compose file in `{self.directory}` or above it"


class EmptyProject(RunError):
    """The files say nothing at all."""

    def __init__(self, files: "tuple[str, ...]") -> None:
        super().__init__(files)
        self.files = files

    def __str__(self) -> str:
        return f"empty compose file: {', '.join(f'`{name}`' for name in self.files)}"


class InvalidProjectName(RunError):
    """A project name that was asked for has other characters than a project name may have."""

    help = "a project name has lower-case letters, digits, `-` and `_`, and begins with a letter or digit"

    def __init__(self, name: str, origin: str) -> None:
        super().__init__(name, origin)
        self.name, self.origin = name, origin

    def __str__(self) -> str:
        return f"`{self.name}` ({self.origin}) is no project name" if self.name else "the project has no name"


class ServiceMissing(RunError):
    """A command names a service that the project does not have."""

    def __init__(self, name: str, help: str = "") -> None:
        super().__init__(name)
        self.name, self.help = name, help

    def __str__(self) -> str:
        return f"no such service: `{self.name}`"
