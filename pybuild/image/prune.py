"""`pybuild prune`: room on the disk. What containers and running builds use stays, whatever is asked for."""

import sys
import time

from pybuild.option import FLAG, LIST, VALUE, Option, Usage
from pybuild.place import open_store
from pybuild.scanner import Misuse, Options

TYPE_CHECKING = False
if TYPE_CHECKING:
    from store.digest import Digest
    from store.gc import Budget
    from store.store import Store

FORCE = Option("-f --force", FLAG, "do not ask")
FILTER = Option("--filter", LIST, "only what matches: until=24h (or a time), label=KEY[=VALUE], label!=KEY[=VALUE]", "KEY=VALUE")
USAGE = Usage("Remove images without a name, and cache that is in no image. With --all: every image that no container uses, and all cache.",
              "pybuild prune\npybuild prune -af --filter until=168h\npybuild prune -f --keep-storage 10GB", (),
              (Option("-a --all", FLAG, "also images with names that no container uses, and all of the cache"),
               FILTER, FORCE,
               Option("--keep-storage", VALUE, "of the cache, keep what was used last, up to SIZE", "SIZE"),
               Option("-v --verbose", FLAG, "name what was removed of the cache too")))

_KEYS = ("until", "label", "label!")


def main(options: Options) -> int:
    return prune(options, cache=not any(word.startswith("label") for word in options.filter), everything=options.all,
                 keep=_size(options.keep_storage), verbose=options.verbose)


def prune(options: Options, *, cache: bool, everything: bool, keep: "int | None" = None, verbose: bool = False) -> int:
    """cache: whether the cache is looked at too."""
    from builder.cleaning import clean
    from pybuild.output.units import size
    from pybuild.user import enter

    filters = _filters(options.filter)
    if not options.force and not _agreed(_warning(cache, everything)):
        return 0
    with open_store(options) as store:
        enter(store)
        budget, unused = _budget(store, filters, cache, everything, keep)
        names = {record.id: record.names for record in store.images.list()}
        done = clean(store, budget, unused)
    if done.collected.images:
        print("Deleted Images:")
        for image in done.collected.images:
            for name in names.get(image, ()):
                print(f"untagged: {_familiar(name)}")
            print(f"deleted: {image}")
        print()
    if verbose:
        for what in (*done.collected.snapshots, *done.collected.blobs, *done.mounts):
            print(f"deleted: {what}")
    print(f"Total reclaimed space: {size(done.bytes)}")
    return 0


def _budget(store: "Store", filters: "dict[str, list[str]]", cache: bool, everything: bool, keep: "int | None") -> "tuple[Budget, int | None]":
    """(what may stay, age in seconds at which mounts and indexes go)."""
    from store.gc import Budget

    oldest = max((age(text) for text in filters.get("until", [])), default=0)
    only = _labelled(store, filters) if filters.get("label") or filters.get("label!") else None
    budget = Budget(older_than=oldest, untagged=True, unused=everything, only=only)
    if not cache:
        return budget._replace(records=False), None
    if keep is not None:
        return budget._replace(older_than=oldest or None, max_bytes=keep), None
    return budget._replace(dangling=not everything, everything=everything), oldest if everything else None


def _labelled(store: "Store", filters: "dict[str, list[str]]") -> "frozenset[Digest]":
    """Images whose labels are as the filters want them."""
    from pybuild.output.filters import label_matches

    found = []
    for record in store.images.list():
        config = store.images.config(record.id).config
        labels = (config.labels if config else None) or {}
        if all(label_matches(labels, wanted) for wanted in filters.get("label", [])) and not any(
                label_matches(labels, unwanted) for unwanted in filters.get("label!", [])):
            found.append(record.id)
    return frozenset(found)


def _filters(words: "list[str]") -> "dict[str, list[str]]":
    from pybuild.output.filters import parse

    return parse(words, _KEYS)                           # `label!=x` is a key of its own


def age(text: str) -> int:
    """How long ago that was, seconds: of a duration, a time (RFC 3339) or seconds since the epoch."""
    from datetime import datetime

    from pybuild.output.units import parse_duration

    try:
        return int(parse_duration(text.replace("d", "h"))) * (24 if text.endswith("d") else 1)
    except ValueError:
        pass
    try:
        moment = float(text) if text.replace(".", "").isdigit() else datetime.fromisoformat(text).timestamp()
    except ValueError:
        raise Misuse(f"--filter: `{text}` is no time", "`until=24h`, `until=2026-01-31T12:00:00`") from None
    return max(int(time.time() - moment), 0)


def _size(text: "str | None") -> "int | None":
    from store.config import parse_bytes

    if text is None:
        return None
    try:
        return parse_bytes(text)
    except ValueError:
        raise Misuse(f"--keep-storage: `{text}` is no size", "`10GB`") from None


def _warning(cache: bool, everything: bool) -> str:
    images = "all images that no container uses" if everything else "all images without a name"
    return f"This will remove {images}{(' and all build cache' if everything else ' and build cache that is in no image') if cache else ''}."


def _agreed(warning: str) -> bool:
    from pybuild.asking import agreed

    if not sys.stdin.isatty():
        raise Misuse("there is no terminal to ask whether that is meant", "--force does not ask")
    print(f"WARNING! {warning}")
    return agreed("Are you sure you want to continue?")


def _familiar(name: str) -> str:
    from store.reference import parse_reference

    return parse_reference(name).familiar()
