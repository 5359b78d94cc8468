"""`pyup container export`: the whole root of a container as a tar archive."""

import os
import sys

from pybuild.option import VALUE, Operand, Option, Usage
from pybuild.scanner import Misuse, Options
from pybuild.stack.opening import opened

USAGE = Usage("Write the files of a container as a tar archive.", "pyup container export -o web.tar web",
              (Operand("container", "1", "name or ID"),),
              (Option("-o --output", VALUE, "write to FILE instead of stdout", "FILE"),))


def main(options: Options) -> int:
    from runner.archive import export

    if not options.output and sys.stdout.isatty():
        raise Misuse("an archive is not written to a terminal", "use `-o FILE`, or redirect it")
    with opened(options, owner=True) as engine:
        fd = os.open(options.output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o666) if options.output else 1
        for data in export(engine, engine.find(options.container)):
            view = memoryview(data)
            while view:
                view = view[os.write(fd, view):]
    return 0
