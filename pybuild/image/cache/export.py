"""`pybuild cache export`: the build cache, written elsewhere."""

import sys

from pybuild.option import Operand, Usage
from pybuild.place import open_store
from pybuild.scanner import Options

USAGE = Usage("Write the whole build cache of this machine elsewhere: every step with its layer, and the cache mounts that `mounts=` names.",
              "pybuild cache export type=local,dest=/mnt/cache\npybuild cache export 'type=registry,ref=host.example/cache:all,mounts=npm;pip'",
              (Operand("caches", "+", "where to, as in --cache-to"),))


def main(options: Options) -> int:
    from builder.cache.address import parse_address
    from builder.cache.bulk import export_all
    from builder.errors import BuildError
    from pybuild.session import open_session
    from pybuild.user import enter

    addresses = tuple(parse_address(word, to=True, option="cache export") for word in options.caches)
    if any(address.kind == "inline" for address in addresses):
        raise BuildError("an inline cache is written by the build of its image", help="pybuild build --cache-to type=inline")
    # a cache that has everything is as good as mode=max
    addresses = tuple(address._replace(options=(*(o for o in address.options if o[0] != "mode"), ("mode", "max"))) for address in addresses)
    with open_store(options) as store:
        enter(store)
        reports = export_all(store, addresses, lambda: open_session(options.config))
    failed = ""
    for report in reports:
        if report.error:
            failed = failed or ("" if report.ignored else report.error)
            print(f"warning: the cache is not written: {report.error}", file=sys.stderr)
        else:
            print(f"{report.cache}: {report.blobs} new blobs, {report.sent / 1e6:.1f} of {report.size / 1e6:.1f} MB sent")
    if failed:
        raise BuildError(f"the cache is not written: {failed}")
    return 0
