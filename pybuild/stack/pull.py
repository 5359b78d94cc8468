"""`pyup pull`: get the images of services from their registries."""

from pybuild.option import FLAG, VALUE, Operand, Option, Usage
from pybuild.scanner import Options
from pybuild.stack.converging import tell
from pybuild.stack.imaging import Images
from pybuild.stack.project import limit, printer, stack

USAGE = Usage(
    "Pull the images of services.", "pyup pull --ignore-buildable\npyup pull --policy missing web",
    (Operand("services", "*", "only these"),),
    (Option("--ignore-buildable", FLAG, "leave those out that can be built"),
     Option("--ignore-pull-failures", FLAG, "go on, and succeed, where one cannot be pulled"),
     Option("--include-deps", FLAG, "those too that these depend on"),
     Option("--policy", VALUE, "missing or always", "POLICY", choices=("missing", "always")),
     Option("-q --quiet", FLAG, "show no progress"),
     Option("--parallel", FLAG, "accepted; it is so anyway", hidden=True),
     Option("--no-parallel", FLAG, "accepted; has no effect", hidden=True)))


def main(options: Options) -> int:
    from runner.action import IMAGES, Draft, PullImage
    from runner.apply import Work, apply
    from runner.load.selection import select
    from runner.present import image_id
    from runner.reactor import Reactor

    with stack(options, options.services, files=True, making=False) as it:
        project = it.project
        if it.services and not options.include_deps:
            project = select(project, it.services, dependencies=False)
        show = printer(options, it.environment, quiet=options.quiet)
        draft, done = Draft(), set()
        for one in project.services:
            built = one.build is not None
            if not one.image or one.image in done or (built and options.ignore_buildable):
                continue
            policy = options.policy or one.pull_policy
            if one.pull_policy == "never" or (policy in ("missing", "build") and image_id(it.engine.store, one.image)):
                continue
            done.add(one.image)
            draft.add(IMAGES, PullImage(one.name, one.image, (), optional=built or options.ignore_pull_failures))
        if it.said.dry_run:
            from pybuild.stack.plan import show as show_plan

            show_plan(draft.plan(project.name))
            return 0
        work = Work(it.engine, project, (), show, images=Images(it, project, quiet_pull=options.quiet))
        with Reactor(it.engine.store.events) as reactor:
            failures = apply(draft.plan(project.name), work, reactor, limit=limit(options, it.environment) or 4)
        show.close()
        if failures:
            tell(failures, it, show)
        return 1 if failures else 0
