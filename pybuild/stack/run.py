"""`pyup run`: a command in a container of its own, made as a service's are; what the service depends on is started first."""

import os
import sys

from pybuild.option import FLAG, LIST, VALUE, Operand, Option, Usage
from pybuild.scanner import Misuse, Options
from pybuild.stack.converging import ALL, Converging, Failed, orphan_policy, tell
from pybuild.stack.imaging import Images
from pybuild.stack.opening import warn_of
from pybuild.stack.project import printer, stack
from pybuild.stack.up import PULL, pull_policy
from runner import labels
from runner.action import IMAGES, RESOURCES, STARTS, Step, WaitFor
from runner.load.selection import select
from runner.plan import Options as PlanOptions
from runner.plan_images import Policy

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pybuild.stack.showing import Printer
    from runner.container import Container, ContainerSpec
    from runner.desired import Wanted
    from runner.endpoint import PortMapping
    from runner.model.project import Project
    from runner.model.service import Service

USAGE = Usage(
    "Run a command in a new container of a service.", "pyup run --rm web sh\npyup run -d --name job worker ./import.sh",
    (Operand("service", "1", "which service"), Operand("command", "...", "what to run instead of its command")),
    (Option("--build", FLAG, "build the image before"),
     Option("--cap-add", LIST, "add a capability", "NAME"),
     Option("--cap-drop", LIST, "take a capability away", "NAME"),
     Option("-d --detach", FLAG, "print its ID and leave it running"),
     Option("--entrypoint", VALUE, "run this instead of the image's entrypoint", "COMMAND"),
     Option("-e --env", LIST, "set a variable", "NAME[=VALUE]"),
     Option("--env-from-file", LIST, "read variables from a file", "FILE"),
     Option("-i --interactive", FLAG, "pass stdin on", default="true"),
     Option("-l --label", LIST, "label", "NAME[=VALUE]"),
     Option("--name", VALUE, "name of the container", "NAME"),
     Option("--no-deps", FLAG, "leave the services alone that it depends on"),
     Option("-T --no-tty --no-TTY", FLAG, "no terminal (the default where there is none)"),
     Option("-t --tty", FLAG, "accepted; there is a terminal where there can be one", hidden=True),
     Option("-p --publish", LIST, "publish a port", "[[IP:]HOST:]CONTAINER[/PROTOCOL]"),
     Option("--pull", VALUE, "when images are pulled", "WHEN", "policy", choices=PULL),
     Option("-q --quiet", FLAG, "show no progress"),
     Option("--quiet-build", FLAG, "do not show what is built"),
     Option("--quiet-pull", FLAG, "do not show what is pulled"),
     Option("--remove-orphans", FLAG, "remove containers of services that the files do not have"),
     Option("--rm", FLAG, "remove the container when it has ended"),
     Option("-P --service-ports", FLAG, "publish the service's ports"),
     Option("--use-aliases", FLAG, "let it answer to the service's names"),
     Option("-u --user", VALUE, "who it runs as", "NAME|UID[:GROUP|GID]"),
     Option("-v --volume", LIST, "mount a volume, or a path of this machine", "[SOURCE:]TARGET[:OPTIONS]"),
     Option("-w --workdir", VALUE, "working directory inside", "PATH")),
    stop_early=True)

_TOOL_FAILED = 125


def main(options: Options) -> int:
    if options.publish and options.service_ports:
        raise Misuse("`--publish` and `--service-ports` contradict each other")
    with stack(options, [options.service], files=True, locked=True) as it:
        show = printer(options, it.environment, quiet=options.quiet)
        try:
            want = _prepare(it, options, show)
        except Failed as error:
            tell(error.failures, it, show)
            return 1
        show.close()
        if it.said.dry_run:
            print(f"would run {' '.join(options.command) or 'its command'} in a new container of {options.service}")
            return 0
        spec = _spec(it, want, options)
        container = it.engine.create(spec, _image_id(it, want))
        it.unlock()
        try:
            return _start(it, container, options)
        except Exception as error:
            from pybuild.output.errors import report

            if options.rm:
                it.engine.remove(container, force=True, volumes=True)
            status = report(error, debug=options.debug)
            return int(getattr(error, "exit_status", 0)) or (status if status == 1 else _TOOL_FAILED)


# ---------------------------------------------------------------- what it needs
def _prepare(it: stack, options: Options, show: "Printer") -> "Wanted":
    """Images, networks and volumes of the service, and what it depends on, running."""
    project, name = it.project, options.service
    alone = select(project, [name], dependencies=False)
    remove, _ = orphan_policy(it, options.remove_orphans)
    policy = Policy("always" if options.build else "", pull_policy(options.pull))
    images = Images(it, project, quiet_build=options.quiet_build or options.quiet,
                    quiet_pull=options.quiet_pull or options.quiet)
    own = Converging(it, alone, PlanOptions((name,), start=False, ignore_orphans=True, images=policy), show, images)
    service = project.service(name)
    assert service
    others = _dependencies(project, service)
    if others and not options.no_deps:
        way = Converging(it, others, PlanOptions(remove_orphans=remove, ignore_orphans=not remove, images=Policy(pull=policy.pull)), show, images)
        _run(it, way)
    _run(it, own, only=(RESOURCES,))
    if not it.said.dry_run and not options.no_deps:
        _wait(it, service, show)
    return own.wanted[0]


def _run(it: stack, way: Converging, only: "tuple[int, ...]" = ALL) -> None:
    if not it.said.dry_run:
        way.run(only=only)
        return
    from pybuild.stack.plan import show as show_plan

    plan = way.plan()
    show_plan(plan._replace(steps=tuple(step for step in plan.steps if step.phase in (IMAGES, *only))))


def _dependencies(project: "Project", service: "Service") -> "Project | None":
    """The project of what it depends on, None if that is nothing."""
    names = [name for name, _ in service.depends_on if project.service(name)]
    if not names:
        return None
    return select(project, names)


def _wait(it: stack, service: "Service", show: "Printer") -> None:
    from runner.apply import Work
    from runner.reactor import Reactor
    from runner.tasks import Tasks

    present = it.present()
    waits = []
    for name, dependency in service.depends_on:
        names = tuple(one.name for one in present.of(name))
        if names and dependency.condition != "service_started":
            waits.append(WaitFor(name, dependency.condition, names, dependency.required))
    if waits:
        with Reactor(it.engine.store.events) as reactor:
            reactor.follow()
            steps = [Step(number, STARTS, one) for number, one in enumerate(waits, 1)]
            failures = Tasks(reactor, Work(it.engine, it.project, (), show).task).run(steps)
        if failures:
            raise Failed(failures)


# ---------------------------------------------------------------- the container
def _spec(it: stack, want: "Wanted", options: Options) -> "ContainerSpec":
    from pybuild.stack.container import words
    from runner.apply import first_containers
    from runner.desired import replica
    from runner.load.command import split

    project, slug = it.project, os.urandom(6).hex()
    spec = replica(want, project, 1, options.name or f"{project.name}-{want.name}-run-{slug}", first_containers(it.engine, project.name, want),
                   _image_id(it, want))
    own = {**dict(words.pairs(options.label, "--label")), labels.ONE_OFF: "True", labels.SLUG: slug}
    terminal = not options.no_TTY and not options.detach and os.isatty(0) and os.isatty(1)
    mounts = tuple(words.volume(word) for word in options.volume)
    targets = {one.target for one in mounts}
    added = words.environment(options.env, options.env_from_file)      # once: a file may be a pipe
    changed = {word.partition("=")[0] for word in added}
    spec = spec._replace(
        labels=labels.merged(spec.labels, own), config="", env=(*(word for word in spec.env if word.partition("=")[0] not in changed), *added),
        restart=type(spec)(spec.image).restart, auto_remove=options.rm, tty=terminal, open_stdin=options.interactive,
        stdin_once=options.interactive and not options.detach, ports=_ports(want, options),
        mounts=(*(one for one in spec.mounts if one.target not in targets), *mounts), cap_add=(*spec.cap_add, *options.cap_add),
        cap_drop=(*spec.cap_drop, *options.cap_drop), user=options.user or spec.user, working_dir=options.workdir or spec.working_dir)
    if not options.use_aliases:
        spec = spec._replace(endpoints=tuple(one._replace(aliases=()) for one in spec.endpoints))
    spec = spec._replace(endpoints=tuple(one._replace(ipv4_address="", ipv6_address="", mac_address="") for one in spec.endpoints))
    if options.entrypoint is not None:
        spec = spec._replace(entrypoint=split(options.entrypoint)[0], cmd=())
    if options.command:
        spec = spec._replace(cmd=tuple(options.command))
    return spec


def _ports(want: "Wanted", options: Options) -> "tuple[PortMapping, ...]":
    if options.publish:
        from pybuild.stack.container.words import ports

        return ports(options.publish)
    return want.spec.ports if options.service_ports else ()


def _image_id(it: stack, want: "Wanted") -> str:
    from runner.present import image_id

    return image_id(it.engine.store, want.image)


def _start(it: stack, container: "Container", options: Options) -> int:
    from pybuild.stack.container.staying import ALL, stay, terminal_size

    size = terminal_size() if container.spec.tty else (0, 0)
    contact = it.engine.start(container, attached=not options.detach, reaper=options.rm and not options.detach, console_size=size)
    assert contact, "nobody else knows it yet"
    warn_of(contact)
    if options.detach:
        contact.close()
        print(container.id)
        return 0
    sys.stdout.flush()
    return stay(it.engine, container, contact, ask=False, streams=ALL if options.interactive else ALL[1:], detach_keys="ctrl-p,ctrl-q")
