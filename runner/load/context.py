"""What one load has at hand while it reads files that name other files."""

from kernel.value import Value
from runner.errors import FileUnreadable
from runner.load import document, dotenv, reading
from runner.load.interpolate import interpolate
from runner.load.location import is_remote
from runner.load.schema import FILE
from runner.load.tree import Map

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

    from lang.source import Source
    from runner.load.extends import Base
    from runner.load.report import Report
    from runner.load.tree import Mark

    # a remote reference -> the local path of the compose file that it names
    Fetch = Callable[[str], str]

FILES = 1_000                                             # files that one project may be made of
NODES = 1_000_000                                         # nodes that `extends` may copy


class ComposeFile(Value):
    """A compose file that was read: `path` is absolute, or `-`."""

    source: "Source"
    path: str
    documents: "tuple[document.Document, ...]"


class Context:
    """The report, how files are read, and the budgets of a load."""

    __slots__ = ("copies", "cwd", "extended", "fetch", "files", "interpolates", "remote_paths", "report", "stdin")

    def __init__(self, report: "Report", cwd: str, interpolates: bool = True, stdin: "Callable[[], bytes] | None" = None,
                 fetch: "Fetch | None" = None, remote_paths: bool = False) -> None:
        self.report, self.cwd, self.interpolates = report, cwd, interpolates
        self.stdin, self.fetch, self.remote_paths = stdin, fetch, remote_paths
        self.files, self.copies = FILES, NODES
        self.extended: dict[tuple[str, str], Base] = {}           # (file, directory it is seen from) -> what may be extended in it

    def shown(self, path: str) -> str:
        """`path` as messages have it: relative if that is below the directory we are in."""
        return path[len(self.cwd) + 1:] if path.startswith(self.cwd + "/") else path

    def read(self, path: str, mark: "Mark | None" = None) -> "Source":
        """The file at `path`, which was named at `mark`, or on the command line.

        Raises FileUnreadable, or InvalidCompose if there is a mark.
        """
        self.files -= 1
        try:
            if self.files < 0:
                raise FileUnreadable(self.shown(path), f"one file too many: a project has at most {FILES:,}")
            return reading.read(path, "standard input" if path == "-" else self.shown(path), self.stdin)
        except FileUnreadable as error:
            if mark is None:
                raise
            self.report.fault(mark, str(error))
            self.report.stop()
            raise

    def compose(self, path: str, mark: "Mark | None" = None) -> ComposeFile:
        """The compose file at `path`. Raises as `read`, and InvalidCompose."""
        source = self.read(path, mark)
        return ComposeFile(source, path, tuple(document.parse(source, self.report)))

    def local(self, name: str, mark: "Mark | None") -> "tuple[str, bool]":
        """The path of a compose file that was named at `mark`, or on the command line, and whether it came from elsewhere.

        Raises FileUnreadable, or InvalidCompose if there is a mark.
        """
        if not is_remote(name):
            return name, False
        reason, help = "it is on another machine", "`--allow remote` lets a project have parts from elsewhere"
        if self.fetch is not None:
            try:
                return self.fetch(name), True
            except (OSError, FileUnreadable) as error:
                reason, help = f"it cannot be fetched: {error}", getattr(error, "help", "")
        if mark is not None:
            self.report.fault(mark, f"`{name}`: {reason}", help)
            self.report.stop()
        raise FileUnreadable(name, reason, help)

    def variables(self, path: str, known: "dict[str, str]", lookup: "Callable[[str], str | None]", mark: "Mark | None" = None,
                  format: str = "") -> "dict[str, str]":
        """What the file of variables at `path` says: see dotenv.parse."""
        return dotenv.parse(self.read(path, mark), known, lookup, self.report, format)

    def substituted(self, source: "Source", root: "Any", environment: "Mapping[str, str]") -> Map:
        """A document of `source` as a mapping with its variables replaced.

        Raises InvalidCompose.
        """
        if root.__class__ is not Map:
            self.report.fault((source, 0, 0, 0, 0), "the top level is no mapping", "a compose file has `services:` there")
        elif self.interpolates:
            interpolate(root, FILE, environment.get, self.report)
        self.report.stop()
        return root  # type: ignore[no-any-return]
