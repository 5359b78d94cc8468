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


def main(options: Options) -> int:
    with stack(options, options.services, files=True) as it:
        way = converging(it, options, printer(options, it.environment))
        return show(way.plan(), options.format)


def show(plan: "Plan", format: str) -> int:
    """Print it; NOTHING or CHANGES."""
    from runner.plan_text import to_plain, to_text

    if format == "json":
        import json

        print(json.dumps(to_plain(plan), indent=2, ensure_ascii=False))
    else:
        sys.stdout.write(to_text(plan))
    return CHANGES if plan.changes else NOTHING
