"""`pybuild manifest rm`: names of indexes go."""

from pybuild.option import Operand, Usage
from pybuild.place import open_store
from pybuild.scanner import Options

USAGE = Usage("Remove the names of indexes from the store; images that have another name stay.", "pybuild manifest rm r.example.com/app:1",
              (Operand("names", "+", "names of indexes"),))


def main(options: Options) -> int:
    from pybuild.output.errors import report
    from store.errors import StoreError
    from store.reference import parse_reference
    from store.registry.manifestlist import remove

    status = 0
    with open_store(options) as store:
        for name in options.names:
            try:
                removed = remove(store, name)
            except StoreError as error:                 # the others are removed all the same
                status = report(error)
                continue
            for item in removed:
                print(f"Untagged: {parse_reference(item.what).familiar()}" if item.action == "untagged" else f"Deleted: {item.what}")
    return status
