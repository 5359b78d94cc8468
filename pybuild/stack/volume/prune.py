"""`pyup volume prune`: remove volumes that no container has."""

from pybuild.option import FLAG, LIST, Option, Usage
from pybuild.scanner import Options
from pybuild.stack.container.prune import confirmed
from pybuild.stack.opening import opened

USAGE = Usage("Remove anonymous volumes that no container has.", "pyup volume prune -f --all", (),
              (Option("-a --all", FLAG, "remove those with names of their own too"),
               Option("-f --force", FLAG, "do not ask"),
               Option("--filter", LIST, "remove only what matches: label=K[=V], label!=K[=V], all=true", "KEY=VALUE")))


def main(options: Options) -> int:
    from pybuild.output.units import size
    from runner.pruning import parse_filters, prune_volumes

    keep = parse_filters(options.filter)
    keep = keep._replace(everything=keep.everything or options.all)
    what = "every volume" if keep.everything else "every anonymous volume"
    if not options.force and not confirmed(f"{what} that no container has is removed, with everything in it"):
        return 0
    with opened(options, owner=True) as engine:
        removed, freed = prune_volumes(engine, keep)
    if removed:
        print("Deleted Volumes:\n" + "\n".join(removed) + "\n")
    print(f"Total reclaimed space: {size(freed)}")
    return 0
