"""`pybuild save`: images as an archive that docker, podman and skopeo read."""

import os
import sys

from pybuild.option import VALUE, Operand, Option, Usage
from pybuild.place import open_store
from pybuild.scanner import Misuse, Options

USAGE = Usage("Write images to an archive (docker's format, or an OCI layout in a tar).", "pybuild save -o guestbook.tar guestbook",
              (Operand("images", "+", "names or IDs; a repository stands for all its tags"),),
              (Option("-o --output", VALUE, "write to FILE instead of stdout", "FILE"),
               Option("--format", VALUE, "what kind of archive", "FORMAT", "docker-archive", choices=("docker-archive", "oci-archive", "oci-dir")),
               Option("--platform", VALUE, "of a name that leads to an index, which image of it", "OS/ARCH")))


def main(options: Options) -> int:
    from builder.outputs import Opened
    from pybuild.image.pull import wanted_platform
    from pybuild.user import enter
    from store.archivewriter import choose_images, save
    from store.layout import write_layout

    if not options.output and (sys.stdout.isatty() or options.format == "oci-dir"):
        what = "an OCI layout is a directory" if options.format == "oci-dir" else "an archive cannot go to a terminal"
        raise Misuse(what, "name it with `-o PATH`")
    platform = wanted_platform(options.platform)
    with open_store(options) as store:
        enter(store)                                     # layers have files of several owners
        if options.format == "oci-dir":
            write_layout(store, choose_images(store, tuple(options.images), platform), os.path.abspath(options.output))
            return 0
        with Opened(options.output or "-") as file:
            save(store, tuple(options.images), file.write, "oci" if options.format == "oci-archive" else "docker", platform=platform)
    return 0
