"""`pybuild fsck`: whether everything in the store is as it was put there."""

import sys

from pybuild.option import FLAG, VALUE, Option, Usage
from pybuild.place import open_store
from pybuild.scanner import Options

TYPE_CHECKING = False
if TYPE_CHECKING:
    from store.fsck import Report
    from store.store import Store

USAGE = Usage("Check every blob, layer, image and name of the store. Exit status 1 if something is wrong and was not mended.",
              "pybuild fsck\npybuild fsck --repair", (),
              (Option("-y --repair", FLAG, "fetch again or drop what is damaged"),
               Option("--offline", FLAG, "mend without asking registries"),
               Option("--format", VALUE, "how findings are written", "FORMAT", "text", choices=("text", "json")),
               Option("-q --quiet", FLAG, "print findings only")))


def main(options: Options) -> int:
    from pybuild.user import enter

    with open_store(options) as store:
        enter(store)
        report = _report(store, options)
    if options.format == "json":
        import json

        print(json.dumps({**report._asdict(), "findings": [finding._asdict() for finding in report.findings]}))
        return 0 if report.is_whole else 1
    for finding in report.findings:
        print(f"{finding.kind} {finding.what} {finding.problem}{f': {finding.done}' if finding.done else ''}")
    if not options.quiet:
        from pybuild.output.units import size

        print(f"{report.blobs} blobs ({size(report.blob_bytes)}), {report.layers} layers ({report.files} files), {report.images} images: "
              f"{len(report.findings) or 'no'} finding{'' if len(report.findings) == 1 else 's'}")
        if not report.is_whole and not options.repair:
            print("`pybuild fsck --repair` mends or drops what is damaged")
    return 0 if report.is_whole else 1


def _report(store: "Store", options: Options) -> "Report":
    from pybuild.session import open_session
    from store.errors import IndexDamaged
    from store.fsck import check
    from store.registry.mending import blob_fetcher

    def say(text: str) -> None:
        if not options.quiet and sys.stderr.isatty():
            print(f"checking {text}", file=sys.stderr, flush=True)

    with open_session(options.config) as session:
        fetch = blob_fetcher(store, lambda: session) if options.repair and not options.offline else None
        if options.offline:
            store.fetch = None
        try:
            return check(store, repair=options.repair, fetch=fetch, say=say)
        except IndexDamaged as error:
            if not options.repair:
                raise
            from store.salvage import salvage

            print(f"{error}\nthe old index is kept as `{salvage(store, say)}`", file=sys.stderr)
            return check(store, repair=True, fetch=fetch, say=say)
