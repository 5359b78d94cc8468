"""Images of services, got in processes of their own: built, pulled, or made of this machine. Each says itself what goes on, and what went wrong."""

import os
import sys

from kernel.syscalls import PR_SET_PDEATHSIG, prctl
from pybuild.interrupting import let_signals_interrupt

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from builder.request import Request
    from pybuild.scanner import Options
    from pybuild.stack.project import stack
    from runner.building import Changes, Fetched
    from runner.model.build import Build
    from runner.model.project import Project
    from runner.model.service import Service


_TERM = 15


class Images:
    """As runner.apply.Images. changes: what the command says of builds over the files."""

    def __init__(self, it: "stack", project: "Project", *, changes: "Changes | None" = None, quiet_build: bool = False,
                 quiet_pull: bool = False) -> None:
        self._it = it
        self._store = it.engine.store
        self._options = it.options
        self._project = project
        self._changes = changes
        self._quiet_build, self._quiet_pull = quiet_build, quiet_pull

    def build(self, service: "Service", image: str) -> int:
        """pid of the process that builds it."""
        return self._forked(lambda: self._build(service, image))

    def pull(self, service: "Service", image: str) -> int:
        return self._forked(lambda: self._pull(service, image))

    def cached(self, service: "Service", image: str) -> str:
        """ID of the image that a build would give, if that is known without building; else ""."""
        from builder import record

        request = self.request(service, image)._replace(names=())
        found = record.find(self._store, request, lambda event: None)
        return found.image if found is not None else ""

    def _forked(self, work: "Callable[[], None]") -> int:
        sys.stdout.flush()
        sys.stderr.flush()
        pid = os.fork()
        if pid:
            return pid
        status = 1
        try:
            prctl(PR_SET_PDEATHSIG, _TERM)                # a command that is killed leaves no build behind
            let_signals_interrupt(handled=True)
            work()
            status = 0
        except KeyboardInterrupt:
            status = 130
        except BaseException as error:
            from pybuild.output.errors import report
            from runner.errors import InvalidService

            if isinstance(error, InvalidService):
                self._it.locate(error, error.path)
            status = report(error, debug=self._options.debug) or 1
        finally:
            sys.stderr.flush()
            os._exit(status)

    # ---------------------------------------------------------------- in the child
    def request(self, service: "Service", image: str) -> "Request":
        from builder.remote.context import kind_of
        from runner.building import Changes, request

        changes = self._changes or Changes(proxies=proxies())
        assert service.build
        fetched = self._fetched(service.build, changes) if kind_of(service.build.context) else None
        return request(service, image, self._project, changes, fetched)

    def _fetched(self, build: "Build", changes: "Changes") -> "Fetched":
        """A context from elsewhere, in the store."""
        from builder.remote.context import open_context
        from builder.remote.fetch import access
        from runner.building import Fetched

        text = build.dockerfile_inline.encode() if build.dockerfile_inline else None
        file = "" if build.dockerfile in ("", "Dockerfile") else build.dockerfile
        found = open_context(self._store, build.context, file, access(self._store, (), changes.ssh), text=text, say=lambda word: None)
        return Fetched(found.dockerfile, found.text, found.tree)

    def _build(self, service: "Service", image: str) -> None:
        from builder import record
        from pybuild.image.building import run, tidy
        from runner.building import secret_variables

        assert service.build
        os.environ.update(secret_variables(service.build, self._project))
        request = self.request(service, image)
        say = _printer(self._options, service.name, quiet=self._quiet_build)
        if record.find(self._store, request, say) is None:
            run(request, self._store, say)
            tidy(self._store)

    def _pull(self, service: "Service", image: str) -> None:
        from builder.base.reserved import is_reserved, resolve

        if is_reserved(image) and self._store.images.resolve(image) is None:
            resolve(self._store, image)
            return
        from pybuild.output.transfer import TransferLines
        from pybuild.session import open_session
        from store.platform import parse_platform
        from store.registry import pull

        platform = parse_platform(service.platform) if service.platform else None
        with open_session(self._options.config) as session, TransferLines(quiet=self._quiet_pull) as lines:
            pull.pull(self._store, session, image, pull.Options(platform), lines)


def proxies() -> "tuple[tuple[str, str], ...]":
    """The proxy settings of this process, which every RUN sees."""
    names = ("HTTP_PROXY", "HTTPS_PROXY", "FTP_PROXY", "NO_PROXY", "ALL_PROXY")
    return tuple((one, os.environ[one]) for name in names for one in (name, name.lower()) if os.environ.get(one))


def _printer(options: "Options", name: str, *, quiet: bool) -> "Callable[[object], None]":
    """A build's events on stderr, each line with the service it is for."""
    from pybuild.output.progress import printer

    kind = options.project.progress or "plain"
    return printer("quiet" if quiet or kind == "quiet" else "json" if kind == "json" else "plain", _Prefixed(name))  # type: ignore[return-value, arg-type]


class _Prefixed:
    """stderr for one of several builds: whole lines only."""

    def __init__(self, name: str) -> None:
        self._name = name

    def write(self, text: str) -> int:
        lines = text.splitlines(keepends=True)
        sys.stderr.write("".join(f"{self._name} {line}" if line.strip() else line for line in lines))
        return len(text)

    def flush(self) -> None:
        sys.stderr.flush()
