"""`pyup build`: build the images of services."""

import os
import sys

from pybuild.option import FLAG, LIST, VALUE, Operand, Option, Usage
from pybuild.scanner import Misuse, Options
from pybuild.stack.converging import Failed, tell
from pybuild.stack.imaging import Images, proxies
from pybuild.stack.project import limit, printer, stack

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from runner.building import Changes
    from runner.model.project import Project
    from runner.model.service import Service

USAGE = Usage(
    "Build the images of services.", "pyup build --pull web\npyup build --build-arg VERSION=2",
    (Operand("services", "*", "only these"),),
    (Option("--build-arg", LIST, "value of an ARG; without `=` it is taken from the environment", "NAME[=VALUE]"),
     Option("--builder", VALUE, "the builder to use: there is one", "NAME"),
     Option("--check", FLAG, "check the Dockerfiles, and build nothing"),
     Option("-m --memory", VALUE, "memory that a RUN may use", "SIZE"),
     Option("--no-cache", FLAG, "run every step"),
     Option("--print", FLAG, "print what would be built as a bake file"),
     Option("--provenance", VALUE, "an attestation of how it was built: said to be none", "KIND"),
     Option("--pull", FLAG, "look for newer base images"),
     Option("--push", FLAG, "push the images then"),
     Option("-q --quiet", FLAG, "show nothing of it"),
     Option("--sbom", VALUE, "an attestation of what is in it: said to be none", "KIND"),
     Option("--ssh", VALUE, "an ssh agent, or private keys, for RUN --mount=type=ssh", "default|ID[=SOCKET|KEY[,KEY..]]"),
     Option("--with-dependencies", FLAG, "build those too that these depend on"),
     Option("--parallel", FLAG, "accepted; it is so anyway", hidden=True),
     Option("--no-rm", FLAG, "accepted; has no effect", hidden=True),
     Option("--force-rm", FLAG, "accepted; has no effect", hidden=True),
     Option("--compress", FLAG, "accepted; has no effect", hidden=True)))


def main(options: Options) -> int:
    from runner.load.selection import select

    with stack(options, options.services, files=True, making=False) as it:
        project = it.project
        if it.services and not options.with_dependencies:
            project = select(project, it.services, dependencies=False)
        built = [one for one in project.services if one.build is not None]
        show = printer(options, it.environment, quiet=options.quiet)
        images = Images(it, it.project, changes=changes_of(options), quiet_build=options.quiet)
        if options.print:
            return _print(built, project.name)
        if options.check:
            return max((_check(one, images, project) for one in built), default=0)
        if not built:
            show.say("No services to build")
        for text in _without_effect(options):
            show.warn(text)
        try:
            _build(it, project, built, images, show)
        except Failed as error:
            tell(error.failures, it, show)
            return 1
        finally:
            show.close()
        if options.push and not it.said.dry_run:
            from pybuild.stack.push import push_all

            return push_all(options, [one for one in built if one.image], project, quiet=options.quiet, ignore=False)
        return 0


def _without_effect(options: Options) -> "Iterator[str]":
    """What is asked for, and not had: said, and never passed over in silence."""
    for name, word in (("--sbom", options.sbom), ("--provenance", options.provenance)):
        if word and word.lower() not in ("false", "0", "f"):
            yield f"`{name}` has no effect: it asks for an attestation, and none are made here"
    if options.builder not in (None, "", "default"):
        yield f"`--builder` has no effect: there is no builder `{options.builder}` beside this one"


def _build(it: stack, project: "Project", built: "list[Service]", images: Images, show: "object") -> None:
    """Each, after those it takes from; equal names once."""
    from runner.action import Draft
    from runner.apply import Work, apply
    from runner.load.config import image_name
    from runner.plan_images import build_step
    from runner.present import Present
    from runner.reactor import Reactor

    draft = Draft()
    services = {one.name: one for one in (*it.project.services, *it.project.disabled)}
    done: dict[str, int] = {}
    for one in built:
        if image_name(one, project.name) not in done:
            done[image_name(one, project.name)] = build_step(draft, one, image_name(one, project.name), "", services, Present(project.name), done)
    if it.said.dry_run:
        from pybuild.stack.plan import show as show_plan

        show_plan(draft.plan(project.name))
        return
    work = Work(it.engine, it.project, (), show, images=images)  # type: ignore[arg-type]  # a Printer
    with Reactor(it.engine.store.events) as reactor:
        failures = apply(draft.plan(project.name), work, reactor, limit=limit(it.options, it.environment) or 2 * (os.cpu_count() or 1))
    if failures:
        raise Failed(failures)


def changes_of(options: Options) -> "Changes":
    from runner.building import Changes

    args: dict[str, str] = {}
    for word in options.build_arg:
        name, equals, value = word.partition("=")
        if not name:
            raise Misuse(f"`--build-arg {word}` has no name")
        if equals:
            args[name] = value
        elif name in os.environ:
            args[name] = os.environ[name]
    return Changes(tuple(sorted(args.items())), options.no_cache, options.pull, _size(options.memory), _ssh(options.ssh), proxies())


def _size(text: "str | None") -> int:
    if not text:
        return 0
    from runner.load.unit import size

    try:
        return size(text)
    except ValueError as error:
        raise Misuse(f"`--memory {text}`: {error}") from None


def _ssh(word: "str | None") -> "tuple[tuple[str, str], ...]":
    if not word:
        return ()
    from builder.agents import source_of
    from builder.errors import BuildError

    name, _, socket = word.partition("=")
    socket = socket or os.environ.get("SSH_AUTH_SOCK", "")
    if not socket:
        raise Misuse(f"`--ssh {word}`: there is no agent: SSH_AUTH_SOCK is not set")
    try:
        return ((name or "default", source_of(socket)),)
    except BuildError as error:
        raise Misuse(f"`--ssh {word}`: {error}") from None


def _check(service: "Service", images: Images, project: "Project") -> int:
    """The build checks of a service's Dockerfile, as `pybuild --check`."""
    from builder.build import host_platform
    from lang.lint.linter import Surroundings
    from lang.source import Source, decode
    from pybuild.image.call import call

    request = images.request(service, service.image or f"{project.name}-{service.name}")
    host = host_platform()
    at = Surroundings(host, host, dict(request.build_args), request.target or "")
    return call("check", Source(request.dockerfile, decode(request.text)), at, "text")


def _print(built: "list[Service]", project: str) -> int:
    """What docker's bake reads."""
    import json

    targets = {}
    for one in built:
        build = one.build
        assert build
        found = {
            "context": build.context, "dockerfile": build.dockerfile, "dockerfile-inline": build.dockerfile_inline,
            "args": {key: value for key, value in build.args if value is not None}, "labels": dict(build.labels), "target": build.target,
            "tags": [one.image or f"{project}-{one.name}", *build.tags], "contexts": dict(build.additional_contexts),
            "platforms": list(build.platforms), "cache-from": list(build.cache_from), "cache-to": list(build.cache_to),
            "no-cache": build.no_cache, "pull": build.pull,
            "network": build.network, "entitlements": list(build.entitlements), "output": ["type=docker"]}
        targets[one.name] = {key: value for key, value in found.items() if value}
    json.dump({"group": {"default": {"targets": [one.name for one in built]}}, "target": targets}, sys.stdout, indent=2)
    print()
    return 0
