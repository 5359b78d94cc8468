"""`pybuild fmt`: lay Dockerfiles out, without a change to what they say."""

import difflib
import os
import sys
import tempfile

from pybuild.option import FLAG, Operand, Option, Usage
from pybuild.scanner import Options

TYPE_CHECKING = False
if TYPE_CHECKING:
    from lang.source import Source

USAGE = Usage("Lay Dockerfiles out: capitals, spaces, indentation. What they say does not change.",
              "pybuild fmt --diff .\npybuild fmt --check Dockerfile",
              (Operand("files", "*", "Dockerfiles, directories that have one, or `-`: stdin to stdout (default: .)"),),
              (Option("--check", FLAG, "change nothing; exit 1 if a file would be changed, and name it"),
               Option("--diff", FLAG, "change nothing; print what would be changed")))


def main(options: Options) -> int:
    from lang.format import format_text
    from lang.instruction import check_names
    from lang.parser import read
    from pybuild.image.dockerfile import STDIN, load

    changed = 0
    for word in options.files or ["."]:
        source = load(word)
        check_names(read(source), source)                # what is no Dockerfile is not written to
        text = format_text(source)
        if text == source.text:
            if source.name == STDIN and not (options.check or options.diff):
                sys.stdout.write(text)
            continue
        changed += 1
        if options.diff:
            print_difference(source, text)
        elif options.check:
            print(source.name)
        else:
            write(source, text)
    return int(options.check and changed > 0)


def print_difference(source: "Source", text: str) -> None:
    lines = difflib.unified_diff(source.text.splitlines(keepends=True), text.splitlines(keepends=True), source.name, source.name)
    sys.stdout.writelines(line if line.endswith("\n") else line + "\n" for line in lines)


def write(source: "Source", text: str) -> None:
    """Put the text in the place of the file, stdin's to stdout. Atomic; the file keeps its mode, and a link stays one."""
    from pybuild.image.dockerfile import STDIN

    data = text.encode("utf-8", "surrogateescape")
    if source.name == STDIN:
        sys.stdout.buffer.write(data)
        return
    path = os.path.realpath(source.name)
    handle, partial = tempfile.mkstemp(dir=os.path.dirname(path), prefix=".pybuild-")
    try:
        with open(handle, "wb") as file:
            file.write(data)
            status = os.stat(path)
            os.fchmod(file.fileno(), status.st_mode & 0o7777)
            if (status.st_uid, status.st_gid) != (os.geteuid(), os.getegid()):
                os.fchown(file.fileno(), status.st_uid, status.st_gid)
        os.replace(partial, path)
    except BaseException:
        os.unlink(partial)
        raise
