"""`up` in the foreground: the output of the containers until they end, or until the user has had enough of them.

One loop from the first start to the last stop: output of what runs is shown while others still start, and while they are being stopped.
"""

import sys

from pybuild.stack.converging import Failed, tell
from pybuild.stack.lines import LineWriter
from pybuild.stack.lull import is_over
from pybuild.stack.project import is_set, limit
from pybuild.stack.showing import ansi_of
from pybuild.stack.signals import Signals
from runner import labels, plan_down
from runner.apply import Work, apply
from runner.chorus import Chorus
from runner.reactor import Reactor

TYPE_CHECKING = False
if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from pybuild.scanner import Options
    from pybuild.stack.converging import Converging
    from pybuild.stack.project import stack
    from pybuild.stack.showing import Printer
    from pybuild.stack.watch import Watching
    from runner.contact import Contact
    from runner.container import Container
    from runner.stream import Exit

INTERRUPTED, FAILED = 130, 1


class Interrupted(Exception):
    """The user wants everything to stop."""


class Detached(Exception):
    """The user wants everything to go on without this command."""


class Attached:
    def __init__(self, it: "stack", way: "Converging", options: "Options", show: "Printer") -> None:
        self.it, self.way, self.options, self.show = it, way, options, show
        ansi = "never" if options.no_color else ansi_of(it.said, it.environment)
        self._write = LineWriter(it.name, ansi=ansi, prefix=not options.no_log_prefix, stamps=options.timestamps, before=show.pause)
        self._shown = shown_services(way, options)
        self._services = {one.name for one in way.wanted}
        self._codes: dict[str, int] = {}                  # service -> exit code of its last container that has ended
        self._abort: "tuple[str, int] | None" = None      # (service, exit code) of the one because of which all is to stop
        self._signals = 0
        self._stopping = False
        self._watching: "Watching | None" = None
        self.reactor = Reactor(it.engine.store.events)
        self.chorus = Chorus(it.engine, self.reactor, self._write, self._on_exit)

    # ---------------------------------------------------------------- running
    def run(self) -> int:
        """The command's exit status."""
        with self.reactor, Signals(self.reactor, self._on_signal):
            try:
                return self._run()
            finally:
                self.chorus.close()

    def _run(self) -> int:
        failed = False
        try:
            try:
                self._start()
            except Failed as error:
                tell(error.failures, self.it, self.show)
                failed = True
                self.it.unlock()                          # else whoever waits until no command is at work would wait for this one
                if not self._aborts:
                    raise Interrupted from None
            with self._menu():
                while not self._abort and not is_over(self.it, self.chorus, self.reactor):
                    self.reactor.turn()
            if not self._abort:
                return FAILED if failed else self._status()
            self.show.say("Aborting on container exit...")
        except Detached:
            return 0
        except Interrupted:
            if not failed:
                self.show.say("Gracefully Stopping... press Ctrl+C again to force")
        self._stop()
        return INTERRUPTED if self._signals else FAILED if failed else self._status()

    def _start(self) -> None:
        self.way.run(reactor=self.reactor, attaches=lambda service: True, on_start=self._on_start, before_starts=self._greet)
        self.it.unlock()
        self.chorus.follow(self._wants)
        if self.options.watch:
            self._watch()

    def _watch(self) -> None:
        """Begin, or end."""
        from pybuild.stack.watch import Watching

        if self._watching:
            self._watching.end()
            self._watching = None
            return
        watching = Watching(self.it, self.show, self.reactor, quiet=self.options.quiet_build)
        watching.begin()
        self._watching = watching

    # ---------------------------------------------------------------- keys
    def _menu(self) -> "AbstractContextManager[object]":
        from contextlib import nullcontext

        from pybuild.stack import menu

        if not (self.options.menu or is_set(self.it.environment, "COMPOSE_MENU")) or not menu.is_possible():
            return nullcontext()
        self.show.say(menu.HINT)
        return menu.Menu(self.reactor, {b"d": self._detach, b"w": self._on_watch_key})

    def _detach(self) -> None:
        raise Detached

    def _on_watch_key(self) -> None:
        from pybuild.output.errors import text
        from runner.errors import RunError

        try:
            self._watch()
        except RunError as error:
            self.show.pause()
            print(text(error), file=sys.stderr)

    def _greet(self) -> None:
        """Say whose output comes, and join what runs already."""
        present = self.it.present()
        names = [one.name for one in present.containers if one.service in self._shown and not one.one_off]
        self._write.announce(names)
        self.show.pause()
        if names:
            print(f"Attaching to {', '.join(self._write.short(name) for name in names)}", flush=True)
        for seen in present.containers:
            if seen.is_running and seen.service in self._services and not seen.one_off:
                self.chorus.join(self.it.engine.find(seen.id), quiet=seen.service not in self._shown)

    def _on_start(self, container: "Container", contact: "Contact", spot: "tuple[int, int]") -> bool:
        if self.chorus.has(container.id):
            return False
        self.chorus.join(container, contact, quiet=_service(container) not in self._shown, spot=spot)
        return True

    def _wants(self, container: "Container") -> "bool | None":
        """Whether a container that has just started is one of ours, and is to be shown."""
        own = dict(container.spec.labels)
        if own.get(labels.PROJECT) != self.it.name or labels.is_one_off(own) or own.get(labels.SERVICE) not in self._services:
            return None
        return own.get(labels.SERVICE) in self._shown

    # ---------------------------------------------------------------- ends
    @property
    def _aborts(self) -> bool:
        options = self.options
        return bool(options.abort_on_container_exit or options.abort_on_container_failure or options.exit_code_from)

    def _on_exit(self, container: "Container", ended: "Exit") -> None:
        service = _service(container)
        self._codes[service] = ended.code
        if service in self._shown:
            self._write.exited(container, ended.code, restarting=ended.restarting)
        if ended.restarting or self._abort or self._stopping or not self._aborts:
            return
        if not self.options.abort_on_container_failure or ended.code:
            self._abort = (service, ended.code)

    def _status(self) -> int:
        """Of the service that was asked for, or of the one that has ended everything."""
        if self.options.exit_code_from:
            return self._codes.get(self.options.exit_code_from, 0)
        return self._abort[1] if self._abort else 0

    def _on_signal(self, number: int) -> None:
        self._signals += 1
        if self._signals == 1 and not self._stopping:
            raise Interrupted
        if self._stopping:
            self._kill()

    def _stop(self) -> None:
        """Those that were asked for, dependents first; what they write meanwhile is shown."""
        self._stopping = True
        it = self.it
        wanted = set(it.services) or self._services
        present = it.present()
        chosen = [seen for seen in present.containers if seen.service in wanted and not seen.one_off]
        work = Work(it.engine, it.project, (), self.show, timeout_s=self.options.timeout)
        failures = apply(plan_down.stop(it.project, present, chosen), work, self.reactor, limit=limit(it.options, it.environment))
        self.show.close()
        if failures:
            tell(failures, it, self.show)
        while len(self.chorus) and any(self.chorus.has(seen.id) for seen in chosen):
            self.reactor.turn()

    def _kill(self) -> None:
        from runner.errors import RunError
        from sandbox.errors import SandboxError

        for seen in self.it.present().containers:
            if seen.is_running and seen.service in self._services and not seen.one_off:
                try:
                    self.it.engine.kill(self.it.engine.find(seen.id))
                except (RunError, SandboxError):
                    continue                              # it has ended by itself


def _service(container: "Container") -> str:
    return dict(container.spec.labels).get(labels.SERVICE, "")


def shown_services(way: "Converging", options: "Options") -> "set[str]":
    """Services whose output is shown. Raises ServiceMissing for one that there is not."""
    from runner.errors import ServiceMissing

    services = {one.name: one.service for one in way.wanted}
    for name in (*options.attach, *options.no_attach, *([options.exit_code_from] if options.exit_code_from else [])):
        if name not in services:
            raise ServiceMissing(name)
    if options.attach:
        found = set(options.attach)
    else:
        found = set(services) if options.attach_dependencies or not way.it.services else set(way.it.services)
        found -= {name for name, service in services.items() if service.attach is False}
    return found - set(options.no_attach)


def run_attached(it: "stack", way: "Converging", options: "Options", show: "Printer") -> int:
    return Attached(it, way, options, show).run()
