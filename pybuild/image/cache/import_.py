"""`pybuild cache import`: caches from elsewhere, with everything in them."""

import sys

from pybuild.option import FLAG, Operand, Option, Usage
from pybuild.place import open_store
from pybuild.scanner import Options

USAGE = Usage("Take everything that caches elsewhere have: layers, and cache mounts that are not here. --cache-from takes only what a build needs.",
              "pybuild cache import type=local,src=/mnt/cache",
              (Operand("caches", "+", "where from, as in --cache-from"),),
              (Option("-q --quiet", FLAG, "print nothing"),))


def main(options: Options) -> int:
    from builder.cache.address import parse_address, title
    from builder.cache.bulk import import_all
    from pybuild.output.units import size
    from pybuild.session import open_session
    from pybuild.user import enter

    def say(text: str) -> None:
        if not options.quiet:
            print(text, file=sys.stderr, flush=True)

    addresses = tuple(parse_address(word, to=False, option="cache import") for word in options.caches)
    with open_store(options) as store:
        enter(store)
        for address in addresses:
            taken = import_all(store, address, lambda: open_session(options.config), say)
            if not options.quiet:
                lost = f"; {taken.lost} layers could not be had" if taken.lost else ""
                print(f"{title(address)}: {taken.steps} steps, {size(taken.size)}, {taken.mounts} cache mounts{lost}")
    return 0
