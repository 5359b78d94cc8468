"""Whiteouts: the mark of overlayfs for a name that is deleted. A character device 0:0, which overlayfs itself refuses to make: in a container whose
own root is an overlay, where no further one can be stacked anyway, 0:255 stands for it (no driver has it)."""

import os
import stat

WHITEOUT = os.makedev(0, 0)
STAND_IN = os.makedev(0, 255)


def make(name: str, dir_fd: int) -> None:
    """Raises OSError: FileExistsError where something is there."""
    try:
        os.mknod(name, stat.S_IFCHR, WHITEOUT, dir_fd=dir_fd)
    except PermissionError:
        os.mknod(name, stat.S_IFCHR, STAND_IN, dir_fd=dir_fd)


def is_whiteout(mode: int, device: int) -> bool:
    return stat.S_ISCHR(mode) and device in (WHITEOUT, STAND_IN)
