"""`pyup push`: give the images of services that are built to their registries."""

import sys

from pybuild.option import FLAG, Operand, Option, Usage
from pybuild.scanner import Options
from pybuild.stack.project import stack

TYPE_CHECKING = False
if TYPE_CHECKING:
    from runner.model.project import Project
    from runner.model.service import Service

USAGE = Usage("Push the images of services that are built.", "pyup push web", (Operand("services", "*", "only these"),),
              (Option("--ignore-push-failures", FLAG, "go on, and succeed, where one cannot be pushed"),
               Option("--include-deps", FLAG, "those too that these depend on"),
               Option("-q --quiet", FLAG, "show no progress")))


def main(options: Options) -> int:
    from runner.load.selection import select

    with stack(options, options.services, files=True, making=False) as it:
        project = it.project
        if it.services and not options.include_deps:
            project = select(project, it.services, dependencies=False)
        built = [one for one in project.services if one.build is not None]
        if it.said.dry_run:
            print("".join(f"would push {name}\n" for name in _names(built)), end="")
            return 0
        return push_all(options, built, project, quiet=options.quiet, ignore=options.ignore_push_failures)


def _names(services: "list[Service]") -> "list[str]":
    return list(dict.fromkeys(name for one in services for name in (one.image, *(one.build.tags if one.build else ())) if name))


def push_all(options: Options, services: "list[Service]", project: "Project", *, quiet: bool, ignore: bool) -> int:
    """Each image and its further tags, once. 1 if one of them could not be pushed."""
    from pybuild.output.errors import report
    from pybuild.output.transfer import TransferLines
    from pybuild.place import open_store
    from pybuild.session import open_session
    from store.registry.push import push

    names = _names(services)
    unnamed = [one.name for one in services if not one.image]
    if unnamed and not quiet:
        print(f"without `image:` there is no registry to push to: {', '.join(unnamed)}", file=sys.stderr)
    status = 0
    with open_session(options.config) as session, open_store(options) as store:
        for name in names:
            try:
                with TransferLines(sys.stderr, quiet=quiet) as lines:
                    pushed = push(store, session, name, None, lines)
            except Exception as error:
                status = max(status, report(error, debug=options.debug))
                continue
            if not quiet:
                print(f" Image {name} Pushed {pushed.digest}", file=sys.stderr)
    return 0 if ignore else status
