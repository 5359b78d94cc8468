"""`pybuild manifest inspect`: a manifest or an index, as it is."""

import sys

from pybuild.option import FLAG, Operand, Option, Usage
from pybuild.place import open_store
from pybuild.scanner import Options

USAGE = Usage("Show the manifest or index that a name leads to: the one that is here, else the registry's.",
              "pybuild manifest inspect debian:bookworm\npybuild manifest inspect --raw --remote app | sha256sum",
              (Operand("name", "1", "name of an image or index"),),
              (Option("--remote", FLAG, "ask the registry, whatever is here"),
               Option("--raw", FLAG, "print the very bytes"),
               Option("-v --verbose", FLAG, "with what describes it; of an index, each manifest that it lists"),
               Option("--insecure", FLAG, "for habits: insecure registries are named in the configuration", hidden=True)))


def main(options: Options) -> int:
    from pybuild.session import open_session
    from store.registry.manifestlist import details, document, pretty

    with open_session(options.config) as session, open_store(options) as store:
        data = (details if options.verbose else document)(store, session, options.name, remote=options.remote)
    sys.stdout.buffer.write(data if options.raw else pretty(data) + b"\n")
    return 0
