"""`pyup container diff`: which files a container has added, changed or deleted."""

from pybuild.option import Operand, Usage
from pybuild.scanner import Options
from pybuild.stack.opening import opened

USAGE = Usage("Show which files a container has added (A), changed (C) or deleted (D).", "pyup container diff web",
              (Operand("container", "1", "name or ID"),))


def main(options: Options) -> int:
    from runner.changes import changes

    with opened(options, owner=True) as engine:
        for one in changes(engine, engine.find(options.container)):
            print(one.kind, one.path)
    return 0
