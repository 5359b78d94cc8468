"""One thing done to each of a project's containers that run, shown as progress: for kill, pause and unpause."""

import sys

from runner.progress import ERROR, Progress

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from pybuild.stack.project import stack
    from pybuild.stack.showing import Printer
    from runner.container import Container
    from runner.present import Seen


def on_each(it: "stack", chosen: "Iterable[Seen]", action: "Callable[[Container], object]", words: "tuple[str, str]", show: "Printer") -> int:
    """words: while it is done, and after. 1 if it went wrong for one of them."""
    from pybuild.output.errors import text
    from runner.errors import RunError
    from sandbox.errors import SandboxError

    status = 0
    for seen in chosen:
        show(Progress("Container", seen.name, words[0], "(dry run)" if it.said.dry_run else ""))
        if it.said.dry_run:
            continue
        try:
            action(it.engine.find(seen.id))
        except (RunError, SandboxError) as error:
            show(Progress("Container", seen.name, ERROR))
            show.pause()
            print(text(error), file=sys.stderr)
            status = 1
            continue
        show(Progress("Container", seen.name, words[1]))
    show.close()
    return status
