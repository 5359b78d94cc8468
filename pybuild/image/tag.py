"""`pybuild tag`: a further name for an image."""

from pybuild.option import Operand, Usage
from pybuild.place import open_store
from pybuild.scanner import Options

USAGE = Usage("Give an image another name. A name that exists moves.", "pybuild tag guestbook registry.example.com/team/guestbook:1.0",
              (Operand("image", "1", "name or ID of an image"), Operand("name", "1", "its new name")))


def main(options: Options) -> int:
    with open_store(options) as store:
        store.images.tag(store.images.require(options.image).id, options.name)
    return 0
