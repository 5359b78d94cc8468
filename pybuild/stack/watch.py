"""`pyup watch`: the sources of services are watched; what changes is copied, or leads to a restart or a rebuild, as the files say."""

import os
import sys

from pybuild.option import FLAG, Operand, Option, Usage
from pybuild.scanner import Options
from pybuild.stack.converging import Converging, Failed, tell
from pybuild.stack.imaging import Images
from pybuild.stack.project import printer, stack
from pybuild.stack.signals import Signals
from runner.errors import RunError
from runner.plan import Options as PlanOptions
from runner.plan_images import Policy
from runner.progress import Output
from runner.reactor import Reactor
from runner.treewatch import TreeWatch
from runner.watch import Rule, Todo, bound, decide, first_copies, rules

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pybuild.stack.showing import Printer
    from runner.container import Container
    from runner.model.build import Hook

USAGE = Usage(
    "Watch the sources of services, and bring what changes into their containers.", "pyup watch web\npyup watch --no-up",
    (Operand("services", "*", "only these"),),
    (Option("--no-up", FLAG, "do not build and start the services before"),
     Option("--prune", FLAG, "accepted; images without a name are collected anyway", default="true"),
     Option("--quiet", FLAG, "do not show what is built")))


class NothingToWatch(RunError):
    """No service says what is to be watched."""

    help = "a service says it under `develop.watch`"

    def __str__(self) -> str:
        return "none of the services has anything to be watched"


class Watching:
    """One project, watched. Changes are carried out one batch after the other."""

    def __init__(self, it: stack, show: "Printer", reactor: Reactor, *, quiet: bool) -> None:
        self.it, self.show, self.reactor = it, show, reactor
        self._quiet = quiet
        self._services = {one.name: one for one in it.project.services}
        named = [one for one in it.project.services if not it.services or one.name in it.services]
        self.rules: list[Rule] = []
        for rule in rules(named):
            if bound(self._services[rule.service], rule.watch):
                show.warn(f"`{_shown(rule.watch.path)}` is mounted into `{rule.service}`: it is not watched")
            else:
                self.rules.append(rule)
        if not self.rules:
            raise NothingToWatch

    def begin(self) -> None:
        """Copy what is to be copied at the beginning, and watch."""
        for rule in self.rules:
            if rule.watch.initial_sync and rule.watch.action.startswith("sync"):
                copies = first_copies(rule)
                if copies:
                    self._do(Todo(rule.service, copies=tuple(copies), changed=len(copies)))
        self._tree = tree = TreeWatch(self.reactor, self._on_batch, self._is_ignored)
        for path in dict.fromkeys(rule.watch.path for rule in self.rules):
            tree.add(path)
        self.show.say("Watch enabled")

    def end(self) -> None:
        """Watch no more."""
        self._tree.close()
        self.show.say("Watch disabled")

    def _is_ignored(self, directory: str) -> bool:
        """Whether nothing below it concerns anybody: it has not to be watched. Patterns that take something back in are for files, not for this."""
        return os.path.basename(directory) in (".git", ".hg", ".svn", "node_modules", "__pycache__") and not any(
            rule.concerns(directory) for rule in self.rules)

    def _on_batch(self, changed: "dict[str, bool]") -> None:
        for todo in decide(self.rules, changed):
            self._do(todo)

    def _do(self, todo: Todo) -> None:
        """What goes wrong is told; watching goes on."""
        from pybuild.output.errors import text

        changes = f"{todo.changed} change{'' if todo.changed == 1 else 's'}"
        try:
            if todo.rebuild:
                self.show.say(f"Rebuilding service `{todo.service}` after {changes}")
                self._rebuild(todo.service)
                return
            if todo.copies:
                self.show.say(f"Syncing service `{todo.service}` after {changes}")
            for container in self._containers(todo.service):
                self._change(container, todo)
        except Failed as error:
            tell(error.failures, self.it, self.show)
        except (RunError, OSError) as error:
            print(text(error), file=sys.stderr)

    def _containers(self, service: str) -> "list[Container]":
        return [self.it.engine.find(one.id) for one in self.it.present().of(service) if one.status == "running"]

    def _change(self, container: "Container", todo: Todo) -> None:
        if todo.copies:
            from runner.syncing import sync

            sync(self.it.engine, container, todo.copies)
        for hook in todo.execs:
            self._exec(container, hook)
        if todo.restart:
            self.it.engine.restart(container)
            self.show.say(f"service `{todo.service}` restarted")

    def _exec(self, container: "Container", hook: "Hook") -> None:
        """Its output is shown; a command that fails does not end the watching."""
        from runner.hooks import HookFailed, run_inside
        from runner.tasks import Readable

        task = run_inside(self.it.engine, container, hook, "develop.watch.exec", self._say)
        try:
            wanted = next(task)
            while True:
                import select

                assert isinstance(wanted, Readable)
                select.select((wanted.fd,), (), ())
                wanted = task.send(True)
        except StopIteration:
            pass
        except HookFailed as error:
            self.show.warn(str(error))

    def _say(self, news: object) -> None:
        if isinstance(news, Output):
            self.show(news)

    def _rebuild(self, service: str) -> None:
        from runner.load.selection import select

        it = self.it
        project = select(it.project, [service], dependencies=False)
        images = Images(it, it.project, quiet_build=self._quiet)
        options = PlanOptions((service,), ignore_orphans=True, images=Policy("always"))
        it.lock(quiet=True)
        try:
            Converging(it, project, options, self.show, images).run()
        finally:
            it.unlock()


def _shown(path: str) -> str:
    here = os.getcwd() + "/"
    return path[len(here):] if path.startswith(here) else path


def main(options: Options) -> int:
    with stack(options, options.services, files=True) as it, Reactor(it.engine.store.events) as reactor:
        show = printer(options, it.environment)
        watching = Watching(it, show, reactor, quiet=options.quiet)
        if not options.no_up:
            images = Images(it, it.project, quiet_build=options.quiet)
            it.lock()
            try:
                Converging(it, it.project, PlanOptions(it.services, ignore_orphans=True, images=Policy("always")), show, images).run()
            except Failed as error:
                tell(error.failures, it, show)
                return 1
            finally:
                it.unlock()
        show.close()
        over: list[int] = []
        with Signals(reactor, over.append):
            watching.begin()
            while not over:
                reactor.turn()
    return 130
