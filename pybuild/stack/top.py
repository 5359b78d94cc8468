"""`pyup top`: the processes of a project's containers."""

from pybuild.option import Operand, Usage
from pybuild.scanner import Options
from pybuild.stack.project import stack

USAGE = Usage("Show the processes of containers.", "pyup top web", (Operand("services", "*", "only these"),))


def main(options: Options) -> int:
    from pybuild.output.listing import table
    from runner.usage import top

    with stack(options, options.services, owner=False) as it:
        rows: list[list[str]] = []
        for one in it.chosen():
            if one.status == "running":
                titles, found = top(it.engine, it.engine.find(one.id), ())
                if not rows:
                    rows.append(["SERVICE", "#", *titles])
                rows += [[one.service, str(one.number), *cells] for cells in found]
    print("".join(f"{line}\n" for line in table(rows)), end="")
    return 0
