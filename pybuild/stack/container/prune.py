"""`pyup container prune`: remove every container that does not run."""

import sys

from pybuild.option import FLAG, LIST, Option, Usage
from pybuild.scanner import Options
from pybuild.stack.opening import opened

USAGE = Usage("Remove every container that does not run.", "pyup container prune -f --filter until=24h", (),
              (Option("-f --force", FLAG, "do not ask"),
               Option("--filter", LIST, "remove only what matches: until=TIME, label=K[=V], label!=K[=V]", "KEY=VALUE")))


def main(options: Options) -> int:
    from pybuild.output.units import size
    from runner.pruning import parse_filters, prune_containers

    keep = parse_filters(options.filter)
    if not options.force and not confirmed("every container that does not run is removed"):
        return 0
    with opened(options, owner=True) as engine:
        removed, freed = prune_containers(engine, keep)
    if removed:
        print("Deleted Containers:\n" + "\n".join(removed) + "\n")
    print(f"Total reclaimed space: {size(freed)}")
    return 0


def confirmed(what: str) -> bool:
    """Whether the user says yes."""
    print(f"warning: {what}", file=sys.stderr)
    try:
        return input("Are you sure you want to continue? [y/N] ").strip().lower() in ("y", "yes")
    except EOFError:
        return False
