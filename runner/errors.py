"""What can be wrong with a project or with running it: facts as attributes, prose in `__str__`."""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from lang.diagnostic import Diagnostic
    from lang.source import Source, Span

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


# ---------------------------------------------------------------- containers and volumes
class Missing(RunError):
    """There is no such thing: `kind` is "container", "volume", "exec instance", "network"; `name` what was asked for."""

    def __init__(self, kind: str, name: str, help: str = "") -> None:
        super().__init__(kind, name)
        self.kind, self.name, self.help = kind, name, help

    def __str__(self) -> str:
        return f"no such {self.kind}: `{self.name}`"


class Ambiguous(RunError):
    """A beginning of an ID that several have."""

    def __init__(self, kind: str, name: str, found: "tuple[str, ...]") -> None:
        super().__init__(kind, name, found)
        self.kind, self.name, self.found = kind, name, found

    def __str__(self) -> str:
        return f"several {self.kind}s begin with `{self.name}`: {', '.join(f'`{one[:12]}`' for one in self.found)}"


class NameInUse(RunError):
    """`name` is taken by `owner`, the ID of another container or ""."""

    def __init__(self, kind: str, name: str, owner: str = "") -> None:
        super().__init__(kind, name, owner)
        self.kind, self.name, self.owner = kind, name, owner
        self.help = f"remove or rename that {kind}, or take another name"

    def __str__(self) -> str:
        return f"the {self.kind} name `{self.name}` is in use" + (f" by `{self.owner[:12]}`" if self.owner else "")


class InvalidName(RunError):
    def __init__(self, kind: str, name: str) -> None:
        super().__init__(kind, name)
        self.kind, self.name = kind, name
        self.help = "a name has letters, digits, `_`, `.` and `-`, at least two of them, and begins with a letter or digit"

    def __str__(self) -> str:
        return f"`{self.name[:100]}` is no name of a {self.kind}"


class InvalidOption(RunError):
    """`what` (as "volume option") has the value `value`, and that is wrong for `reason`."""

    def __init__(self, what: str, value: str, reason: str, help: str = "") -> None:
        super().__init__(what, value, reason)
        self.what, self.value, self.reason, self.help = what, value, reason, help

    def __str__(self) -> str:
        return f"{self.what} `{self.value}`: {self.reason}" if self.value else f"{self.what} {self.reason}"


class Conflict(RunError):
    """The state of a container, or of a volume, does not permit it: `reason`, as "is running"."""

    def __init__(self, kind: str, name: str, reason: str, help: str = "") -> None:
        super().__init__(kind, name, reason)
        self.kind, self.name, self.reason, self.help = kind, name, reason, help

    def __str__(self) -> str:
        return f"{self.kind} `{self.name}` {self.reason}"


class StartFailed(RunError):
    """A container could not be started. exit_code: 127 command not found, 126 not executable, else 125 (as docker has it)."""

    def __init__(self, name: str, reason: str, exit_code: int = 125, help: str = "") -> None:
        super().__init__(name, reason, exit_code)
        self.name, self.reason, self.exit_code, self.help = name, reason, exit_code, help

    def __str__(self) -> str:
        return f"container `{self.name}` cannot be started: {self.reason}"


class ShimLost(RunError):
    """The process that keeps a container did not answer: `reason`."""

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(name, reason)
        self.name, self.reason = name, reason

    def __str__(self) -> str:
        return f"container `{self.name}` does not answer: {self.reason}"


class RecordsTooNew(RunError):
    """The file of records was written by a later version of this program."""

    help = "use a newer version, or name another store with --root"

    def __init__(self, path: str, version: int, ours: int) -> None:
        super().__init__(path, version, ours)
        self.path, self.version, self.ours = path, version, ours

    def __str__(self) -> str:
        return f"`{self.path}` has version {self.version}, and this program knows {self.ours}"


# ---------------------------------------------------------------- projects
class InvalidService(RunError):
    """What a compose file asks for cannot be had: `path` in the file, as ("services", "web", "gpus"), and why.

    source, span: where that is written, once somebody who knows has said it.
    """

    def __init__(self, path: "tuple[str | int, ...]", reason: str, help: str = "") -> None:
        super().__init__(path, reason)
        self.path, self.reason, self.help = path, reason, help
        self.source: "Source | None" = None
        self.span: "Span | None" = None

    def __str__(self) -> str:
        shown = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in self.path)
        return f"`{shown[1:]}` {self.reason}"


class ImageUnavailable(RunError):
    """A service's image is not here, and is not to be got: `reason`."""

    def __init__(self, image: str, service: str, reason: str, help: str = "") -> None:
        super().__init__(image, service, reason)
        self.image, self.service, self.reason, self.help = image, service, reason, help

    def __str__(self) -> str:
        return f"the image `{self.image}` of service `{self.service}` {self.reason}"


class NoContainer(RunError):
    """A service (or the `whole` project of that name) has no container, or none with the number `index` (0: any), or none that runs."""

    def __init__(self, service: str, index: int = 0, *, running: bool = False, whole: bool = False) -> None:
        super().__init__(service, index)
        self.service, self.index, self.running, self.whole = service, index, running, whole
        self.help = "`pyup up -d` starts it" if running else "`pyup create` makes one"

    def __str__(self) -> str:
        if self.whole:
            return f"project `{self.service}` has no {'running ' if self.running else ''}container"
        which = f"container #{self.index} of service `{self.service}`" if self.index else f"service `{self.service}`"
        return f"{which} is not running" if self.running else f"no container found for {which}"


class DependencyFailed(RunError):
    """What a service waits for will not come: `container` is not as its `condition` wants it, `reason` says how."""

    def __init__(self, container: str, reason: str, help: str = "") -> None:
        super().__init__(container, reason)
        self.container, self.reason, self.help = container, reason, help

    def __str__(self) -> str:
        return f"dependency failed to start: container {self.container} {self.reason}"
