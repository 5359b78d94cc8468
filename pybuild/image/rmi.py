"""`pybuild rmi`: names go, and an image goes with its last name."""

from pybuild.option import FLAG, Operand, Option, Usage
from pybuild.place import open_store
from pybuild.scanner import Options

USAGE = Usage("Remove images: of a name, take it away, and delete the image with its last one; of an ID, delete the image.", "pybuild rmi guestbook",
              (Operand("images", "+", "names or IDs"),),
              (Option("-f --force", FLAG, "remove an ID with several names; do not mind what does not exist"),
               Option("--no-prune", FLAG, "keep on the disk what only these images needed, until `pybuild prune`")))


def main(options: Options) -> int:
    from pybuild.output.errors import report
    from store.errors import ReferenceMissing, StoreError
    from store.reference import parse_reference

    status, deleted = 0, False
    with open_store(options) as store:
        for name in options.images:
            try:
                removed = store.images.remove(name, force=options.force)
            except StoreError as error:                 # the others are removed all the same
                if not (options.force and isinstance(error, ReferenceMissing)):
                    status = report(error)
                continue
            deleted = deleted or any(item.action == "deleted" for item in removed)
            for item in removed:
                print(f"Untagged: {parse_reference(item.what).familiar()}" if item.action == "untagged" else f"Deleted: {item.what}")
        if deleted and not options.no_prune:
            from pybuild.user import enter
            from store.gc import sweep

            enter(store)                                # layers have files of several owners
            sweep(store)
    return status
