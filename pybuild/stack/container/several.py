"""One action on several containers: each name is printed when it is done, what fails is reported, and the rest goes on."""

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from pybuild.scanner import Options
    from runner.container import Container
    from runner.engine import Engine


def on_each(engine: "Engine", options: "Options", action: "Callable[[Container], object]", *, quiet: bool = False) -> int:
    """`options.containers` are names or IDs. 1 if one of them failed."""
    from pybuild.output.errors import report

    status = 0
    for name in options.containers:
        try:
            action(engine.find(name))
        except Exception as error:
            status = max(status, report(error, debug=options.debug))
            continue
        if not quiet:
            print(name)
            sys.stdout.flush()
    return status
