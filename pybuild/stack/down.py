"""`pyup down`: stop and remove what a project has."""

from pybuild.option import COUNT, FLAG, VALUE, Operand, Option, Usage
from pybuild.scanner import Options
from pybuild.stack.project import is_set, printer, stack
from pybuild.stack.steps import carry_out

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pybuild.stack.showing import Printer
    from runner.model.service import Service

USAGE = Usage(
    "Stop and remove containers and networks.", "pyup down -v --remove-orphans\npyup -p shop down",
    (Operand("services", "*", "only these"),),
    (Option("--remove-orphans", FLAG, "remove containers of services that the files do not have, and one-off ones"),
     Option("--rmi", VALUE, "remove images: local, those that got no name of their own; all, every one", "WHICH", choices=("local", "all")),
     Option("-t --timeout", COUNT, "seconds that containers have to stop", "SECONDS"),
     Option("-v --volumes", FLAG, "remove volumes too")))


def main(options: Options) -> int:
    from runner.plan_down import Down, down

    with stack(options, options.services, locked=True) as it:
        project = it.project
        if it.services:
            from runner.load.selection import select

            project = select(project, it.services, dependencies=False) if it.loaded else project
        show = printer(options, it.environment)
        present = it.present(volumes=[one.name for one in project.volumes], images=_images(it) if options.rmi else ())
        wanted = Down(options.volumes, options.rmi or "", options.remove_orphans or is_set(it.environment, "COMPOSE_REMOVE_ORPHANS"))
        plan = down(project, present, wanted, it.services)
        if not plan.steps and not it.said.dry_run:
            show.warn(f"no resource found to remove for project `{it.name}`")
        status = carry_out(it, plan, show, timeout_s=options.timeout)
        if not it.said.dry_run:
            it.engine.sweep()                             # what commands have left that were killed
            _unprovide(it, project.services, show)
        return status


def _unprovide(it: stack, services: "tuple[Service, ...]", show: "Printer") -> None:
    """Have those programs take services down that provide them, where that is allowed."""
    from pybuild.stack.project import allowed

    for service in services:
        if service.provider is not None and "provider" in allowed(it.options):
            from runner.provider import run

            run(service, it.project, "down", show)


def _images(it: stack) -> "list[str]":
    return [one.image or f"{it.name}-{one.name}" for one in it.project.services]
