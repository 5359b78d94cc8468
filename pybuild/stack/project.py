"""The project that a command of pyup is about: its files, loaded with what stands before the command, and the engine its containers are in.

`with stack(options, services) as it`: everything else hangs on that. Without files, but with a name, a project is what its containers say.
"""

import os
import sys

from pybuild.stack.opening import opened

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from types import TracebackType
    from typing import Any

    from kernel.locks import Lock
    from pybuild.scanner import Options
    from pybuild.stack.showing import Printer
    from runner.container import Container
    from runner.load.project import Loaded, LoadOptions
    from runner.load.tree import Path
    from runner.model.project import Project
    from runner.present import Present, Seen


def load_options(options: "Options", services: "tuple[str, ...]" = (), **more: "Any") -> "LoadOptions":
    """What to load, by the words before the command."""
    from runner.load.project import LoadOptions

    said = options.project
    return LoadOptions(
        os.getcwd(), os.environ, tuple(said.file), said.project_name or "", said.project_directory or said.workdir or "", tuple(said.profile),
        tuple(said.env_file), services, all_resources=said.all_resources, stdin=lambda: sys.stdin.buffer.read(), fetch=_fetcher(options), **more)


def _fetcher(options: "Options") -> "Callable[[str], str] | None":
    if "remote" not in allowed(options):
        return None
    from pybuild.stack.elsewhere import fetcher

    return fetcher(options)


def allowed(options: "Options") -> "set[str]":
    """What `--allow` says. Raises Misuse."""
    from pybuild.scanner import Misuse

    found = {word for words in options.project.allow for word in words.split(",") if word}
    for word in found - {"remote", "provider"}:
        raise Misuse(f"`--allow {word}`: there is nothing of that name to allow", "there are remote and provider")
    return found


def load(options: "Options", services: "tuple[str, ...]" = (), **more: "Any") -> "Loaded":
    """The project; what should be said of its files goes to stderr. Raises RunError."""
    from runner.load.project import load as load_project

    loaded = load_project(load_options(options, services, drives=False, **more))
    warn(loaded.warnings)
    return loaded


def warn(warnings: "tuple[Any, ...]") -> None:
    for one in warnings:
        line, column = one.source.position(one.span.start)
        print(f"warning: {one.source.name}:{line}:{column}: {one.message}", file=sys.stderr)


class stack:                                              # a context manager, used as a function
    """services: names the command is about, each checked to be one of the project's. files: whether a name alone is not enough.
    making: whether containers may be made, see LoadOptions; as `files` if it is not said.

    owner: see `opened`. locked: no other command changes the project at the same time.
    """

    def __init__(self, options: "Options", services: "tuple[str, ...] | list[str]" = (), *, files: bool = False, owner: bool = True,
                 locked: bool = False, making: "bool | None" = None) -> None:
        self.options = options
        self.services = tuple(services)
        self.said = options.project
        self.loaded: "Loaded | None" = None
        self.environment: "Mapping[str, str]" = os.environ
        self._locked = locked
        self._load(files, files if making is None else making)
        self._opened = opened(options, owner=owner)
        self._lock: "Lock | None" = None

    def _load(self, files: bool, making: bool) -> None:
        from runner.errors import NoComposeFile

        try:
            self.loaded = load(self.options, self.services, making=making)
        except NoComposeFile:
            self.name = self.said.project_name or os.environ.get("COMPOSE_PROJECT_NAME", "")
            if files or not self.name or self.said.file:
                raise
            from runner.load.surroundings import checked_name

            checked_name(self.name, "-p")
            return
        self.name, self.environment = self.loaded.project.name, self.loaded.environment
        self.said.progress = self.said.progress or self.environment.get("COMPOSE_PROGRESS")

    @property
    def project(self) -> "Project":
        """The services that the command is about, with those they depend on; others are in `disabled`."""
        from runner.model.project import Project

        return self.loaded.project if self.loaded else Project(self.name)

    def __enter__(self) -> "stack":
        self.engine = self._opened.__enter__()
        if self._locked:
            self.lock()
        return self

    def __exit__(self, kind: "type[BaseException] | None", error: "BaseException | None", trace: "TracebackType | None") -> None:
        self.unlock()
        self._opened.__exit__(kind, error, trace)
        if error is not None:
            self._place(error)

    def notes_to(self, printer: "Printer") -> None:
        """What networks and containers want the user to know is printed by whoever may be drawing."""
        self._opened.note = printer.note

    # ---------------------------------------------------------------- one command at a time
    def lock(self, *, quiet: bool = False) -> None:
        """Wait until no other command changes this project."""
        from kernel.locks import Lock

        self._lock = Lock(f"{self.engine.store.root.run}/project-{self.name[:80]}")
        if not self._lock.take(wait=False):
            if not quiet:
                print(f"another command changes the project `{self.name}`: waiting for it", file=sys.stderr)
            self._lock.take()

    def unlock(self) -> None:
        if self._lock:
            self._lock.release(remove=True)
            self._lock = None

    # ---------------------------------------------------------------- what there is
    def present(self, **more: "Any") -> "Present":
        """What there is of the project now."""
        from runner.present import observe

        return observe(self.engine, self.name, **more)

    def chosen(self, *, one_off: bool = False) -> "list[Seen]":
        """Containers of the services the command is about; of a project without files by its containers. Raises ServiceMissing."""
        found = [one for one in self.present().containers if one_off or not one.one_off]
        if not self.services:
            return found
        known = {one.service for one in found} if self.loaded is None else None
        for name in self.services:
            if known is not None and name not in known:
                from runner.errors import ServiceMissing

                raise ServiceMissing(name)
        return [one for one in found if one.service in self.services]

    def one(self, service: str, index: int = 0, *, running: bool = True) -> "Container":
        """A container of a service: that with the number `index`, else the first, else one that `run` made. Raises ServiceMissing, NoContainer."""
        if self.loaded is None or self.loaded.project.service(service) is None:
            self._known(service)
        present = self.present()
        found = [one for one in present.of(service) if (not index or one.number == index) and (one.is_running or not running)]
        if not found and not index:
            found = [one for one in present.containers if one.service == service and one.one_off and (one.is_running or not running)]
        if not found:
            from runner.errors import NoContainer

            raise NoContainer(service, index, running=running)
        return self.engine.find(found[0].id)

    def _known(self, service: str) -> None:
        if not any(one.service == service for one in self.present().containers):
            from runner.errors import ServiceMissing

            raise ServiceMissing(service)

    # ---------------------------------------------------------------- errors with their place
    def _place(self, error: BaseException) -> None:
        """An attribute that cannot be had is shown where it is written."""
        from runner.errors import InvalidService

        if isinstance(error, InvalidService):
            self.locate(error, error.path)

    def locate(self, error: BaseException, path: "Path") -> None:
        """Put where `path` is written on an error that does not know a place yet."""
        found = self.loaded.tree.position(path) if self.loaded and getattr(error, "source", None) is None else None
        if found is not None:
            from lang.source import Span

            vars(error).update(source=found[0], span=Span(found[1], found[2]))


def printer(options: "Options", environment: "Mapping[str, str]", quiet: bool = False) -> "Printer":
    from pybuild.stack.showing import Printer, kind_of

    out = sys.stdout if is_set(environment, "COMPOSE_STATUS_STDOUT") else sys.stderr
    return Printer("quiet" if quiet else kind_of(options.project, environment, out), out)


def number_of(text: str, name: str, usual: int) -> int:
    """A whole number that a variable holds. Raises Misuse."""
    from pybuild.scanner import Misuse

    if not text:
        return usual
    if not text.removeprefix("-").isdigit():
        raise Misuse(f"`{name}` is `{text}`, which is no whole number")
    return int(text)


def limit(options: "Options", environment: "Mapping[str, str]") -> int:
    """How much may be done at once; 0: any number."""
    said = options.project.parallel
    found = said if said is not None else number_of(environment.get("COMPOSE_PARALLEL_LIMIT", ""), "COMPOSE_PARALLEL_LIMIT", -1)
    return max(0, found)


def is_set(environment: "Mapping[str, str]", name: str) -> bool:
    return environment.get(name, "").lower() in ("1", "t", "true", "yes", "y")


if TYPE_CHECKING:
    Say = Callable[[str], None]
