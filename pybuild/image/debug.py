"""`pybuild debug`: a shell in a step that failed, kept by `--on-error=keep` on this machine or on another one."""

import os
import shlex
import sys

from pybuild.option import LIST, Operand, Option, Usage
from pybuild.place import open_store
from pybuild.scanner import Options, scan

USAGE = Usage(
    "Open a shell in a step that failed and was kept (`pybuild --on-error=keep`).",
    "pybuild debug\npybuild debug ./failed-step.oci\npybuild debug failed-step cat /src/config.log",
    (Operand("what", "?", "an image, an OCI layout or an archive (default: the last step that was kept)"),
     Operand("command", "*", "run this instead of a shell")),
    (Option("-v --volume", LIST, "mount a directory into it", "SOURCE:TARGET"),),
    stop_early=True)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from store.digest import Digest
    from store.oci import ContainerConfig
    from store.store import Store

_SHELL = ("/bin/sh", "-c", "if command -v bash >/dev/null 2>&1; then exec bash; else exec sh; fi")


def main(options: Options) -> int:
    from builder.failure import NAME
    from pybuild.stack.container import run as container

    what = options.what or NAME
    with open_store(options) as store:
        image = _loaded(store, what) if os.path.exists(what) else store.images.require(what).id
        if not options.command:
            _tell(store.images.config(image).config)
    words = ["--rm", "--interactive"]
    words += ["--tty"] if os.isatty(0) and os.isatty(1) else []
    words += [word for volume in options.volume for word in ("--volume", volume)]
    words += [word for name in ("root", "config") if getattr(options, name) for word in (f"--{name}", getattr(options, name))]
    return container.main(scan(container.USAGE, [*words, "--entrypoint", "", image, *(options.command or _SHELL)]))


def _tell(config: "ContainerConfig | None") -> None:
    """What failed, and how, on stderr."""
    from builder.failure import MESSAGE, STEP

    labels = config.labels or {} if config else {}
    if config and STEP in labels:
        print(f"{labels[STEP]}: {labels.get(MESSAGE, '')}\nits command: {shlex.join(config.cmd or ())}", file=sys.stderr)


def _loaded(store: "Store", path: str) -> "Digest":
    """The image in a layout or an archive, put into the store; its ID."""
    from builder.errors import BuildError
    from pybuild.user import enter
    from store.archive import load

    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    enter(store)
    loaded = load(store, path, fd)
    if len(loaded) != 1:
        raise BuildError(f"`{path}` has {len(loaded)} images, and one is needed")
    return loaded[0].id
