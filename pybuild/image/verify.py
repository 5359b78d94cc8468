"""`pybuild verify`: build an image again, every step, and say what came out otherwise."""

from pybuild.option import FLAG, VALUE, Operand, Option, Usage
from pybuild.place import open_store
from pybuild.scanner import Options

USAGE = Usage("Build an image again, every step of it, and say which files came out otherwise. Exit status 0: bit for bit the same.",
              "pybuild -t app --reproducible . && pybuild verify app",
              (Operand("image", "1", "an image that was built here"),),
              (Option("-q --quiet", FLAG, "print nothing but what differs"),
               Option("--limit", VALUE, "print at most so many differences", "N", "20")))


def main(options: Options) -> int:
    from builder.errors import BuildError
    from builder.request import Output
    from builder.verify import compare, request_of
    from pybuild.image.building import run, tidy
    from pybuild.output.progress import printer
    from store.digest import Digest

    with open_store(options) as store:
        record = store.images.require(options.image)
        request = request_of(store, record.id)
        if request is None:
            raise BuildError(f"`{options.image}` was not built here, or by an earlier version", help="build it, and verify it then")
        outputs = (Output("image", options=(("squash", "true"),)),) if request.squashes else ()
        request = request._replace(names=(), outputs=outputs, no_cache=True, fresh=True)
        again = run(request, store, printer("quiet" if options.quiet else "plain"))
        differences = compare(store, record.id, Digest(again.image))
        tidy(store)
    limit = int(options.limit)
    for difference in differences[:limit]:
        print(f"layer {difference.layer}: {difference.text}" if difference.layer else difference.text)
    if len(differences) > limit:
        print(f"... and {len(differences) - limit} more")
    if not differences and not options.quiet:
        print(f"{options.image} is reproducible: {record.id}")
    return 1 if differences else 0
