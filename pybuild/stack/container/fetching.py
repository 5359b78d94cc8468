"""The image of a new container: what `--pull` says, done before the container is made."""

import sys

from pybuild.scanner import Options
from runner.errors import InvalidOption

TYPE_CHECKING = False
if TYPE_CHECKING:
    from runner.engine import Engine


def image_for(engine: "Engine", name: str, options: Options) -> str:
    """ID of the image that `name` means; pulled, or made of this machine, if it is not here and may be.

    Raises ReferenceMissing with `--pull never`, else what pulls raise.
    """
    from runner.present import image_id, is_foreign

    found = "" if options.pull == "always" else image_id(engine.store, name)
    if is_foreign(engine.store, found, options.platform or ""):
        found = ""
        if options.pull == "never":
            raise InvalidOption("platform", options.platform, f"is not that of `{name}` as it is here", "leave `--pull never` out, or `--platform`")
    if found:
        return found
    if options.pull == "never":
        return engine.store.images.require(name).id
    from builder.base.reserved import is_reserved, resolve

    if is_reserved(name):
        known = engine.store.images.resolve(name)
        return known.id if known is not None else resolve(engine.store, name)
    from pybuild.image.pull import wanted_platform
    from pybuild.output.transfer import TransferLines
    from pybuild.session import open_session
    from store.registry import pull

    if not options.quiet and options.pull != "always":
        print(f"Unable to find image '{name}' locally", file=sys.stderr)
    with open_session(options.config) as session, TransferLines(quiet=True) as lines:
        return pull.pull(engine.store, session, name, pull.Options(wanted_platform(options.platform)), lines).image
