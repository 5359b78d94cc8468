"""What can keep a base image from being made of this machine; facts as attributes."""

from builder.errors import BuildError


class BaseError(BuildError):
    """The base image cannot be made."""


class ElfFault(BaseError):
    """A file that begins like an ELF object is none that the loader would take."""

    def __init__(self, path: str, fault: str) -> None:
        super().__init__(f"`{path}` is a broken ELF file: {fault}")
        self.path = path
        self.fault = fault


class ProgramMissing(BaseError):
    """A program that was asked for is not on this machine."""

    def __init__(self, program: str, looked_in: tuple[str, ...] = (), help: str = "") -> None:
        super().__init__(f"there is no program `{program}` on this machine",
                         help=help or (f"looked in {', '.join(looked_in)}" if looked_in else ""))
        self.program = program
        self.looked_in = looked_in


class LibraryMissing(BaseError):
    """A shared library that a program needs is not found where the loader would look."""

    def __init__(self, library: str, needed_by: str) -> None:
        super().__init__(f"`{needed_by}` needs the library `{library}`, which is not on this machine")
        self.library = library
        self.needed_by = needed_by


class NotReadable(BaseError):
    """Files that belong into the image may not be read by this user."""

    def __init__(self, paths: tuple[str, ...]) -> None:
        shown = ", ".join(f"`{path}`" for path in paths[:5]) + (f" and {len(paths) - 5} more" if len(paths) > 5 else "")
        super().__init__(f"{shown} may not be read by this user", help="root can read them; an ordinary user's image is made of what all may read")
        self.paths = paths


class NotUsable(BaseError):
    """A file of this machine is not what it has to be: `path` is `fault`."""

    def __init__(self, path: str, fault: str, help: str = "") -> None:
        super().__init__(f"`{path}` {fault}", help=help)
        self.path = path
        self.fault = fault


class NotWritten(BaseError):
    """A file of the image cannot be written; `__cause__` is the system's error."""

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(f"`{path}` of the base image cannot be written: {reason.lower()}")
        self.path = path
        self.reason = reason
