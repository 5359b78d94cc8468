"""`pybuild manifest create`: an index of images."""

from pybuild.option import FLAG, LIST, Operand, Option, Usage
from pybuild.place import open_store
from pybuild.scanner import Misuse, Options

USAGE = Usage("Make an index (a manifest list) of images, which are here or in registries. `pybuild manifest push` pushes it.",
              "pybuild manifest create r.example.com/app:1 r.example.com/app:1-amd64 r.example.com/app:1-arm64",
              (Operand("name", "1", "name of the index"), Operand("images", "+", "names of images; of an index, all that it lists")),
              (Option("-a --amend", FLAG, "add to the index that the name leads to"),
               Option("--annotation", LIST, "annotation of the index", "NAME=VALUE"),
               Option("--insecure", FLAG, "for habits: insecure registries are named in the configuration", hidden=True)))


def main(options: Options) -> int:
    from pybuild.session import open_session
    from pybuild.user import enter
    from store.registry.manifestlist import create

    annotations = pairs_of(options.annotation)
    with open_session(options.config) as session, open_store(options) as store:
        enter(store)
        digest = create(store, session, options.name, options.images, amend=options.amend, annotations=annotations)
    print(f"Created manifest list {options.name} ({digest})")
    return 0


def pairs_of(words: list[str]) -> dict[str, str]:
    """What `--annotation NAME=VALUE ..` says."""
    pairs = {}
    for word in words:
        name, equals, value = word.partition("=")
        if not equals or not name:
            raise Misuse(f"--annotation: `{word}` is no NAME=VALUE")
        pairs[name] = value
    return pairs
