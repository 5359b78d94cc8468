"""`pyup volume rm`: remove volumes with everything in them."""

from pybuild.option import FLAG, Operand, Option, Usage
from pybuild.scanner import Options
from pybuild.stack.opening import opened

USAGE = Usage("Remove volumes, with everything in them.", "pyup volume rm data",
              (Operand("volumes", "+", "names"),), (Option("-f --force", FLAG, "a volume that is not there is fine"),))


def main(options: Options) -> int:
    from pybuild.output.errors import report

    status = 0
    with opened(options, owner=True) as engine:
        for name in options.volumes:
            try:
                engine.volumes.remove(name, force=options.force)
            except Exception as error:
                status = max(status, report(error, debug=options.debug))
            else:
                print(name)
    return status
