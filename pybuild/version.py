"""`pybuild version`, `--version`: what is installed here."""

import os
import sys

from pybuild.option import Usage
from pybuild.scanner import Options

VERSION = "0.1.0"

USAGE = Usage("Show the version of this tool, of Python and of the kernel.", "pybuild version")


def text(program: str) -> str:
    return f"{program} version {VERSION}"


def main(options: Options) -> int:
    system = os.uname()
    print(text(options.program))
    print(f"python  {sys.version.split()[0]} ({sys.executable})")
    print(f"kernel  {system.sysname} {system.release} {system.machine}")
    return 0
