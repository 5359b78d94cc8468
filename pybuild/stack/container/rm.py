"""`pyup container rm`: remove containers."""

import sys

from pybuild.option import FLAG, Operand, Option, Usage
from pybuild.scanner import Options
from pybuild.stack.container.several import on_each
from pybuild.stack.opening import opened

TYPE_CHECKING = False
if TYPE_CHECKING:
    from runner.engine import Engine

USAGE = Usage(
    "Remove containers.", "pyup container rm -f web",
    (Operand("containers", "+", "names or IDs"),),
    (Option("-f --force", FLAG, "kill it first if it runs; a container that is not there is fine"),
     Option("-v --volumes", FLAG, "remove its anonymous volumes too"),
     Option("-l --link", FLAG, "accepted; links are names only", hidden=True)))


def main(options: Options) -> int:
    with opened(options, owner=True) as engine:
        if options.force:
            options.containers = [name for name in options.containers if _is_there(engine, name)]
        return on_each(engine, options, lambda container: engine.remove(container, force=options.force, volumes=options.volumes))


def _is_there(engine: "Engine", name: str) -> bool:
    from pybuild.output.errors import message
    from runner.errors import Missing

    try:
        engine.find(name)
    except Missing as error:
        print(f"error: {message(error)}", file=sys.stderr)
        return False
    return True
