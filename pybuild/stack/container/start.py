"""`pyup container start`: start containers, and stay attached to one if asked to."""

from pybuild.option import FLAG, VALUE, Operand, Option, Usage
from pybuild.scanner import Misuse, Options
from pybuild.stack.container.several import on_each
from pybuild.stack.opening import opened, warn_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from runner.container import Container
    from runner.engine import Engine

USAGE = Usage(
    "Start containers that were made, or have ended.", "pyup container start web\npyup container start -ai shell",
    (Operand("containers", "+", "names or IDs"),),
    (Option("-a --attach", FLAG, "show its output until it ends, and pass signals on"),
     Option("-i --interactive", FLAG, "pass stdin on"),
     Option("--detach-keys", VALUE, "keys that let go of it", "KEYS", "ctrl-p,ctrl-q")))


def main(options: Options) -> int:
    attached = options.attach or options.interactive
    if attached and len(options.containers) > 1:
        raise Misuse("only one container can be attached to")
    with opened(options, owner=True) as engine:
        if attached:
            from pybuild.stack.container.staying import start_attached

            return start_attached(engine, engine.find(options.containers[0]), options)
        return on_each(engine, options, lambda container: _start(engine, container))


def _start(engine: "Engine", container: "Container") -> None:
    contact = engine.start(container)
    if contact:
        warn_of(contact)
        contact.close()
