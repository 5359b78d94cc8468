"""`pybuild base`: a base image made from this machine's own programs; no registry is asked."""

import os
import sys

from pybuild.option import LIST, VALUE, Operand, Option, Usage
from pybuild.place import open_store
from pybuild.scanner import Misuse, Options

TYPE_CHECKING = False
if TYPE_CHECKING:
    from builder.progress import Event

USAGE = Usage("Make a base image from this machine's own files: `host` (the programs given), `busybox`, or refresh host/base and host/python.",
              "pybuild base host --with git,curl -t tools\npybuild base busybox -t busybox",
              (Operand("kind", "1", "host, busybox, host/base or host/python"),),
              (Option("--with", LIST, "programs (names or paths) of a `host` image, beside a shell and the usual tools", "PROGRAM,.."),
               Option("-t --tag", VALUE, "name of the image", "NAME[:TAG]")))

_KINDS = ("host", "busybox", "host/base", "host/python")


def main(options: Options) -> int:
    from builder.base.image import make_busybox, make_of_programs
    from builder.base.reserved import resolve
    from pybuild.user import enter

    kind = options.kind
    if kind not in _KINDS:
        raise Misuse(f"there is no base image of kind `{kind}`", f"there are {', '.join(_KINDS)}")
    if kind in ("host", "busybox") and not options.tag:
        raise Misuse("the image needs a name", "give it one with `-t NAME`")
    programs = tuple(name for words in getattr(options, "with") for name in words.split(",") if name)
    with open_store(options) as store:
        enter(store)
        if kind == "busybox":
            image = make_busybox(store, options.tag)
        elif kind == "host":
            image = make_of_programs(store, options.tag, programs, path=tuple(os.environ.get("PATH", os.defpath).split(":")))
        else:
            image = resolve(store, kind, _say)
            if options.tag:
                store.images.tag(image, options.tag)
    print(image)
    return 0


def _say(event: "Event") -> None:
    text = getattr(event, "text", "")
    if text:
        print(text, file=sys.stderr)
