"""`pybuild load`: images out of an archive that docker, podman or skopeo wrote."""

import os
import sys

from pybuild.option import FLAG, VALUE, Option, Usage
from pybuild.place import open_store
from pybuild.scanner import Misuse, Options

TYPE_CHECKING = False
if TYPE_CHECKING:
    from store.oci import Platform

USAGE = Usage("Read images from an archive: docker's format or an OCI layout, as a file, a directory or on stdin, compressed or not.",
              "pybuild load -i guestbook.tar", (),
              (Option("-i --input", VALUE, "read from PATH instead of stdin", "PATH"),
               Option("-t --tag", VALUE, "name of the image, if the archive has one only", "NAME[:TAG]"),
               Option("--platform", VALUE, "which image of several", "OS/ARCH"),
               Option("-q --quiet", FLAG, "print the names only, which it does anyway")))


def main(options: Options) -> int:
    from pybuild.user import enter
    from store.archive import load
    from store.reference import parse_reference

    if not options.input and sys.stdin.isatty():
        raise Misuse("no archive comes from a terminal", "name one with `-i FILE`")
    with open_store(options) as store:
        fd = os.open(options.input, os.O_RDONLY | os.O_CLOEXEC) if options.input else os.dup(0)
        enter(store)
        loaded = load(store, options.input or "stdin", fd, tag=options.tag or "", platform=_platform(options.platform))
    for image in loaded:
        for name in image.names:
            print(f"Loaded image: {parse_reference(name).familiar()}")
        if not image.names:
            print(f"Loaded image ID: {image.id}")
    return 0


def _platform(text: str | None) -> "Platform | None":
    if not text:
        return None
    from builder.build import host_platform
    from lang.platform import parse_platform
    from store.oci import Platform

    wanted = parse_platform(text, host_platform())
    return Platform(wanted.architecture, wanted.os, wanted.os_version, None, wanted.variant)
