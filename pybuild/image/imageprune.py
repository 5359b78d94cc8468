"""`pybuild image prune`: images that nobody needs; the cache stays."""

from pybuild.image.prune import FILTER, FORCE, prune
from pybuild.option import FLAG, Option, Usage
from pybuild.scanner import Options

USAGE = Usage("Remove images without a name; with --all, every image that no container uses.", "pybuild image prune -af --filter until=168h", (),
              (Option("-a --all", FLAG, "also images with names that no container uses"), FILTER, FORCE))


def main(options: Options) -> int:
    return prune(options, cache=False, everything=options.all)
