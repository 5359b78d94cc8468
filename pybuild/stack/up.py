"""`pyup up`: make and start what the files want, attached to its output or not."""

import os

from pybuild.option import COUNT, FLAG, LIST, VALUE, Operand, Option, Usage
from pybuild.scanner import Misuse, Options
from pybuild.stack.converging import Converging, Failed, orphan_policy, scales, separator, tell
from pybuild.stack.imaging import Images
from pybuild.stack.project import printer, stack
from runner.load.selection import select
from runner.plan import DIVERGED, FORCE, NEVER
from runner.plan import Options as PlanOptions
from runner.plan_images import Policy

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pybuild.stack.showing import Printer
    from runner.model.project import Project

PULL = ("always", "missing", "never", "build", "policy", "if_not_present")
# options that decide which containers there are, of up and create
MAKING = (
    Option("--build", FLAG, "build images before"),
    Option("--no-build", FLAG, "build no image, even if it is missing"),
    Option("--pull", VALUE, "when images are pulled", "WHEN", "policy", choices=PULL),
    Option("--quiet-pull", FLAG, "do not show what is pulled"),
    Option("--force-recreate", FLAG, "make containers anew even if nothing has changed"),
    Option("--no-recreate", FLAG, "leave containers that there are as they are"),
    Option("--remove-orphans", FLAG, "remove containers of services that the files do not have"),
    Option("--scale", LIST, "how many containers of a service there are to be", "SERVICE=N"),
    Option("-y --yes", FLAG, "answer every question with yes"))

USAGE = Usage(
    "Create and start containers.", "pyup up -d\npyup -f compose.yaml up --build web",
    (Operand("services", "*", "only these, and those they depend on"),),
    (Option("-d --detach", FLAG, "leave the containers running in the background"),
     *MAKING,
     Option("--quiet-build", FLAG, "do not show what is built"),
     Option("--always-recreate-deps", FLAG, "make dependencies anew too"),
     Option("-V --renew-anon-volumes", FLAG, "begin with empty anonymous volumes"),
     Option("--no-deps", FLAG, "leave the services alone that these depend on"),
     Option("--no-start", FLAG, "create only"),
     Option("-t --timeout", COUNT, "seconds that containers have to stop", "SECONDS"),
     Option("--wait", FLAG, "wait until all are running or healthy; implies --detach"),
     Option("--wait-timeout", COUNT, "wait no longer than that", "SECONDS"),
     Option("--abort-on-container-exit", FLAG, "stop all when one ends"),
     Option("--abort-on-container-failure", FLAG, "stop all when one fails"),
     Option("--exit-code-from", VALUE, "end with this service's exit status; implies --abort-on-container-exit", "SERVICE"),
     Option("--attach", LIST, "show the output of these services only", "SERVICE"),
     Option("--no-attach", LIST, "do not show the output of these services", "SERVICE"),
     Option("--attach-dependencies", FLAG, "show the output of dependencies too"),
     Option("--no-color", FLAG, "no colours"),
     Option("--no-log-prefix", FLAG, "do not say whose output a line is"),
     Option("--timestamps", FLAG, "show when each line came"),
     Option("-w --watch", FLAG, "watch the sources, and sync or rebuild when they change"),
     Option("--menu", FLAG, "answer to keys: d detaches, w watches; COMPOSE_MENU does it too")))


def main(options: Options) -> int:
    _check(options)
    with stack(options, options.services, files=True, locked=True) as it:
        show = printer(options, it.environment)
        try:
            way = converging(it, options, show, planning=it.said.dry_run)
            if it.said.dry_run:
                from pybuild.stack.plan import show as show_plan

                show_plan(way.plan())
                return 0
            if options.detach or options.wait or options.no_start:
                way.run()
                show.close()
                return _wait(it, way, options) if options.wait else 0
            from pybuild.stack.attached import run_attached

            return run_attached(it, way, options, show)
        except Failed as error:
            tell(error.failures, it, show)
            return 1


def _check(options: Options) -> None:
    detached = options.detach or options.wait
    pairs = (
        (options.renew_anon_volumes, "--renew-anon-volumes", options.no_recreate, "--no-recreate"),
        (options.always_recreate_deps, "--always-recreate-deps", options.no_recreate, "--no-recreate"),
        (detached, "--detach", options.abort_on_container_exit, "--abort-on-container-exit"),
        (detached, "--detach", options.abort_on_container_failure, "--abort-on-container-failure"),
        (options.detach, "--detach", options.exit_code_from, "--exit-code-from"), (detached, "--detach", options.attach, "--attach"),
        (detached, "--detach", options.attach_dependencies, "--attach-dependencies"), (detached, "--detach", options.watch, "--watch"),
        (options.attach, "--attach", options.attach_dependencies, "--attach-dependencies"),
        (options.no_start, "--no-start", options.wait, "--wait"),
        (options.abort_on_container_exit, "--abort-on-container-exit", options.abort_on_container_failure, "--abort-on-container-failure"))
    for one, name, other, its_name in pairs:
        if one and other:
            raise Misuse(f"`{name}` and `{its_name}` contradict each other")
    if options.wait_timeout is not None and not options.wait:
        raise Misuse("`--wait-timeout` needs `--wait`")


def converging(it: stack, options: Options, show: "Printer", *, planning: bool = False) -> Converging:
    """What up and create mean by their options. planning: nothing is done, not even by providers of services."""
    remove, ignore = orphan_policy(it, options.remove_orphans)
    if options.build and options.no_build:
        raise Misuse("`--build` and `--no-build` contradict each other")
    if options.force_recreate and options.no_recreate:
        raise Misuse("`--force-recreate` and `--no-recreate` contradict each other")
    full = vars(options)
    project = provided(it, chosen(it, dependencies=not full.get("no_deps")), show, asking=not planning)
    scale = scales(options.scale)
    for name in scale:
        if project.service(name) is None:
            from runner.errors import ServiceMissing

            raise ServiceMissing(name)
    plan = PlanOptions(
        it.services, FORCE if options.force_recreate else NEVER if options.no_recreate else DIVERGED, bool(full.get("always_recreate_deps")),
        not full.get("renew_anon_volumes"), not full.get("no_start"), remove, ignore, separator=separator(it),
        images=Policy("always" if options.build else "never" if options.no_build else "", pull_policy(options.pull)))
    images = Images(it, project, quiet_build=bool(full.get("quiet_build")), quiet_pull=options.quiet_pull)
    way = Converging(it, project, plan, show, images, scale=scale, timeout_s=full.get("timeout"))
    way.options = plan._replace(renew_volumes=_renewed(way, yes=options.yes))
    return way


def chosen(it: stack, *, dependencies: bool) -> "Project":
    """The project with the services that the command is about."""
    project = it.project
    return project if dependencies or not it.services else select(project, it.services, dependencies=False)


def provided(it: stack, project: "Project", show: "Printer", *, asking: bool) -> "Project":
    """The project without services that other programs provide, which have been asked to, where that is allowed."""
    from pybuild.stack.project import allowed

    names = [one.name for one in project.services if one.provider is not None]
    if not names or "provider" not in allowed(it.options):
        return project
    from runner import provider

    if not asking:
        show.warn(f"{', '.join(f'`{name}`' for name in names)}: provided by other programs, which are not asked now; what they give is not known")
        return provider.without(project)
    return provider.provided(project, show)


def pull_policy(word: "str | None") -> str:
    return {"policy": "", None: "", "if_not_present": "missing"}.get(word, word or "")


def _renewed(way: Converging, *, yes: bool) -> "tuple[str, ...]":
    """Keys of volumes that are not as the files say, and whose data may be lost: the user is asked, if there is one."""
    from runner.plan import diverged_volumes

    found = diverged_volumes(way.project, way.observe())
    return tuple(one.key for one in found if yes or _agrees(one.name))


def _agrees(name: str) -> bool:
    if not (os.isatty(0) and os.isatty(2)):
        return False
    import sys

    print(f"Volume \"{name}\" exists but is not as the files say. Recreate it, and lose what is in it? (y/N) ", end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def _wait(it: stack, way: Converging, options: Options) -> int:
    from pybuild.stack.waiting import wait_until_ready

    return wait_until_ready(it, way.project, [one.name for one in way.wanted], options.wait_timeout, way.printer)
