"""`pybuild manifest push`: an index with everything that it lists."""

from pybuild.option import FLAG, Operand, Option, Usage
from pybuild.place import open_store
from pybuild.scanner import Options

USAGE = Usage("Push an index with all images that it lists; layers that are elsewhere are mounted or copied as they are.",
              "pybuild manifest push r.example.com/app:1",
              (Operand("name", "1", "name of the index"), Operand("destination", "?", "push it under this name instead")),
              (Option("-p --purge", FLAG, "remove the name from the store afterwards"),
               Option("-q --quiet", FLAG, "print nothing but the digest"),
               Option("--all", FLAG, "for habits: everything is always pushed", hidden=True),
               Option("--insecure", FLAG, "for habits: insecure registries are named in the configuration", hidden=True)))


def main(options: Options) -> int:
    from pybuild.output.transfer import TransferLines
    from pybuild.session import open_session
    from pybuild.user import enter
    from store.registry.push import push

    with open_session(options.config) as session, open_store(options) as store:
        enter(store)
        record = store.images.require(options.name)
        target = options.destination or options.name
        with TransferLines(quiet=options.quiet) as lines:
            pushed = push(store, session, target, on_progress=lines, image=record.id, document=store.images.target(options.name))
        if options.purge:
            store.images.remove(options.name)
    print(pushed.digest)
    return 0
