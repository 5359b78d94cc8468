"""`pybuild cache rm`: entries of the build cache, forgotten."""

from pybuild.option import FLAG, Operand, Option, Usage
from pybuild.place import open_store
from pybuild.scanner import Misuse, Options

USAGE = Usage("Remove entries of the build cache. Layers that images have, and mounts that a build uses, stay.",
              "pybuild cache rm 4f1d0b594806\npybuild cache rm npm",
              (Operand("entries", "*", "ids (their first digits will do), or names of cache mounts"),),
              (Option("-a --all", FLAG, "everything"),))


def main(options: Options) -> int:
    from builder.cache.catalogue import entries, find, remove
    from pybuild.output.units import size
    from pybuild.user import enter

    if bool(options.all) == bool(options.entries):
        raise Misuse("it takes ids of entries, or --all")
    with open_store(options) as store:
        enter(store)
        found = entries(store) if options.all else [find(store, word) for word in options.entries]
        gone, freed = remove(store, found)
    for entry in gone:
        print(entry.id)
    print(f"Total reclaimed space: {size(freed)}")
    return 0 if len(gone) == len(found) else 1
