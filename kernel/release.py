"""Which Linux this is. What is newer than the oldest we run on (5.10) is used where the release has it."""

import os


def parse(text: str) -> tuple[int, int]:
    """(major, minor) of a release as uname(2) gives it; minor 0 if it says none. Raises ValueError if it is none at all."""
    major, _, rest = text.partition(".")
    digits = len(rest) - len(rest.lstrip("0123456789"))
    return int(major), int(rest[:digits] or 0)


# an older one can be pretended, to try on a new kernel what would be done on an old one
PRETENDED = bool(os.environ.get("PYBUILD_KERNEL"))
RELEASE = parse(os.environ.get("PYBUILD_KERNEL") or os.uname().release)
