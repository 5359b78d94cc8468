"""`pyup plan`: what `up` would do, and why, field by field. Changes nothing."""

import sys

from pybuild.option import COUNT, FLAG, VALUE, Operand, Option, Usage
from pybuild.scanner import Options
from pybuild.stack.project import printer, stack
from pybuild.stack.up import MAKING, converging

TYPE_CHECKING = False
if TYPE_CHECKING:
    from runner.action import Plan

NOTHING, CHANGES = 0, 2

USAGE = Usage(
    "Say what `up` would do, and why. Exit status: 0 nothing to do, 2 changes, 1 error.",
    "pyup plan\npyup plan --format json > plan.json; pyup apply plan.json",
    (Operand("services", "*", "only these, and those they depend on"),),
    (*MAKING,
     Option("--always-recreate-deps", FLAG, "make dependencies anew too"),
     Option("-V --renew-anon-volumes", FLAG, "begin with empty anonymous volumes"),
     Option("--no-deps", FLAG, "leave the services alone that these depend on"),
     Option("--no-start", FLAG, "create only"),
     Option("-t --timeout", COUNT, "seconds that containers have to stop", "SECONDS"),
     Option("--format", VALUE, "text or json", "FORMAT", "text", choices=("text", "json"))))


MADE_WITH = ("services", "build", "no_build", "pull", "quiet_pull", "force_recreate", "no_recreate", "remove_orphans", "scale", "yes",
             "always_recreate_deps", "renew_anon_volumes", "no_deps", "no_start", "timeout")
_ABOUT_THE_PROJECT = ("file", "project_name", "project_directory", "profile", "env_file", "all_resources", "compatibility", "workdir")


def main(options: Options) -> int:
    with stack(options, options.services, files=True) as it:
        way = converging(it, options, printer(options, it.environment), planning=True)
        plan = way.plan()
        if options.format == "json":
            return _show_json(plan, way.identity(), options)
        return show(plan)


def _show_json(plan: "Plan", identity: "dict[str, str]", options: Options) -> int:
    """With the options that it was made with: `apply` makes the same plan again."""
    import json

    from runner.plan_text import to_plain

    words = {name: getattr(options, name) for name in MADE_WITH}
    project = {name: value for name, value in vars(options.project).items() if value and name in _ABOUT_THE_PROJECT}
    print(json.dumps({**to_plain(plan, identity), "options": {"command": words, "project": project}}, indent=2, ensure_ascii=False))
    return CHANGES if plan.changes else NOTHING


def show(plan: "Plan") -> int:
    """Print it; NOTHING or CHANGES."""
    from runner.plan_text import to_text

    sys.stdout.write(to_text(plan))
    return CHANGES if plan.changes else NOTHING
