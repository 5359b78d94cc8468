"""`pybuild cache inspect`: all there is to know of an entry of the cache, or of a cache elsewhere."""

from pybuild.option import VALUE, Operand, Option, Usage
from pybuild.place import open_store
from pybuild.scanner import Misuse, Options

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

USAGE = Usage("Show all there is to know of entries of the build cache (what their keys were made of, too), or what a cache elsewhere has.",
              "pybuild cache inspect 4f1d0b594806\npybuild cache inspect --from registry.example.com/team/cache:main",
              (Operand("entries", "*", "ids (their first digits will do), or names of cache mounts"),),
              (Option("--from", VALUE, "a cache elsewhere instead, as in --cache-from", "CACHE"),
               Option("--format", VALUE, "json, or a Go template", "FORMAT")))


def main(options: Options) -> int:
    from pybuild.output.listing import show_one

    where = getattr(options, "from")
    if bool(where) == bool(options.entries):
        raise Misuse("it takes ids of entries, or --from")
    if where:
        found = [_elsewhere(where, options)]
    else:
        from builder.cache.catalogue import describe, find
        from pybuild.user import enter

        with open_store(options) as store:
            enter(store)
            found = [describe(store, find(store, word)) for word in options.entries]
    if options.format:
        for one in found:
            print(show_one(one, options.format))
    else:
        print(show_one(found, None))
    return 0


def _elsewhere(word: str, options: Options) -> "dict[str, Any]":
    from builder.cache.address import parse_address, title
    from builder.cache.depot import open_depot
    from builder.cache.errors import CacheError
    from builder.cache.reading import read_cache
    from pybuild.session import open_session

    address = parse_address(word, to=False, option="--from")
    depot = open_depot(address, lambda: open_session(options.config))
    try:
        contents = read_cache(depot)
    finally:
        depot.close()
    if contents is None:
        raise CacheError(title(address), "is not there yet")
    steps = [{"ID": r.key, "Step": r.label, "Size": r.size, "Created": r.created, "DiffID": r.diff_id,
              "Blob": contents.layers[r.diff_id].digest if r.diff_id in contents.layers else ""} for r in contents.config.records]
    mounts = [{"Name": m.name, "ID": m.id, "Index": m.index.digest} for m in contents.config.mounts]
    return {"Cache": title(address), "Size": sum(blob.size for blob in contents.blobs.values()), "Blobs": len(contents.blobs), "Steps": steps,
            "Mounts": mounts, "History": contents.history.digest if contents.history else ""}
