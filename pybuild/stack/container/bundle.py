"""`pyup container bundle`: a container for another runtime."""

from pybuild.option import Operand, Usage
from pybuild.scanner import Options
from pybuild.stack.opening import opened

USAGE = Usage("Write a container as an OCI bundle: its files, copied, and a config.json. It is on no network there.",
              "pyup container bundle web /tmp/web && crun run -b /tmp/web web",
              (Operand("container", "1", "name or ID"), Operand("directory", "1", "a new directory, or an empty one")))


def main(options: Options) -> int:
    from runner.bundle import export

    with opened(options, owner=True) as engine:
        export(engine, engine.find(options.container), options.directory)
    return 0
