"""busybox -> entries: the one program, and a link for every applet it says it has."""

import os

from builder.base.contents import Contents
from builder.base.errors import NotUsable, ProgramMissing
from builder.base.layout import image_path, relative
from builder.base.plan import Link

_OUTPUT_LIMIT = 1 << 20          # bytes


def add_busybox(contents: Contents) -> None:
    """Add busybox and its applets. Raises ProgramMissing, NotUsable."""
    try:
        path = contents.program("busybox")
    except ProgramMissing as error:
        raise ProgramMissing("busybox", error.looked_in, help="`apt-get install busybox-static` brings one that needs no libraries") from error
    real = contents.host.place(path).real
    binary = contents.planner.path(real)
    for applet in _applets(contents.host.outer(real)):
        link = image_path(f"/{applet}")
        if link != binary:
            contents.add(Link(link, relative(link, binary)))


def _applets(program: str) -> list[str]:
    """Paths of the applets, relative to the root, as `busybox --list-full` tells them."""
    import subprocess
    try:
        done = subprocess.run([program, "--list-full"], stdin=subprocess.DEVNULL, capture_output=True, timeout=30, env={"PATH": os.defpath},
                              check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise NotUsable(program, "does not run") from error
    names = os.fsdecode(done.stdout[:_OUTPUT_LIMIT]).split()
    if done.returncode or not names or any(name.startswith("/") or ".." in name.split("/") for name in names):
        raise NotUsable(program, "does not say which applets it has")
    return sorted(name for name in names if "/" in name)         # not /linuxrc, which only an initrd has
