"""`pybuild logout`: forget who you are to a registry."""

import sys

from pybuild.option import VALUE, Operand, Option, Usage
from pybuild.scanner import Options

USAGE = Usage("Log out from a registry: its credential is removed from where `pybuild login` keeps it.", "pybuild logout registry.example.com",
              (Operand("server", "?", "the registry (default: docker.io)"),),
              (Option("--authfile", VALUE, "remove it from FILE", "FILE"),))


def main(options: Options) -> int:
    from pybuild.image.login import surroundings
    from store.registry.login import domain_of_server, forget

    domain = domain_of_server(options.server or "")
    found, others = forget(domain, surroundings(options.authfile))
    print(f"Removing login credentials for {domain}" if found else f"Not logged in to {domain}")
    for path in others:
        print(f"warning: `{path}` has a credential for {domain} too, and is not ours to change", file=sys.stderr)
    return 0
