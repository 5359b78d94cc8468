"""`pybuild tag`: a further name for an image."""

from pybuild.option import Operand, Usage
from pybuild.place import open_store
from pybuild.scanner import Options

USAGE = Usage("Give an image another name. A name that exists moves.", "pybuild tag guestbook registry.example.com/team/guestbook:1.0",
              (Operand("image", "1", "name or ID of an image"), Operand("name", "1", "its new name")))


def main(options: Options) -> int:
    from store.variants import name_too

    with open_store(options) as store:
        name_too(store, options.image, options.name)
    return 0
