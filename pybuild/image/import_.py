"""`pybuild import`: an image out of a tar of files."""

import os
import sys
from errno import EISDIR

from pybuild.option import LIST, VALUE, Operand, Option, Usage
from pybuild.place import open_store
from pybuild.scanner import Misuse, Options

TYPE_CHECKING = False
if TYPE_CHECKING:
    from store.store import Store

USAGE = Usage("Make an image of one layer from a tar of a root file system, compressed or not.",
              "pybuild import -c 'CMD [\"/bin/sh\"]' rootfs.tar.xz mine:1\npybuild import https://example.com/rootfs.tar.gz mine:2\n"
              "pyup container export web | pybuild import - web:copy",
              (Operand("file", "1", "the tar, its URL, or `-` for stdin"), Operand("name", "?", "name of the image")),
              (Option("-c --change", LIST, "a Dockerfile instruction that changes the config", "INSTRUCTION"),
               Option("-m --message", VALUE, "comment in the history", "TEXT"),
               Option("--platform", VALUE, "platform of the image", "OS/ARCH")))


def main(options: Options) -> int:
    from builder.changes import apply
    from pybuild.image.pull import wanted_platform
    from pybuild.user import enter
    from store.blobs import chunks_of
    from store.importing import import_tar
    from store.reference import parse_new_name

    if options.file == "-" and sys.stdin.isatty():
        raise Misuse("no tar comes from a terminal", "name a file")
    with open_store(options) as store:
        if options.name:
            parse_new_name(options.name)
        is_remote = options.file.startswith(("http://", "https://"))
        fd = -1 if is_remote else os.dup(0) if options.file == "-" else _opened(options.file)
        enter(store)
        if is_remote:
            fd = _downloaded(store, options.file)
        try:
            image = import_tar(store, chunks_of(fd), source=options.file, message=options.message or "", platform=wanted_platform(options.platform),
                               change=lambda config: apply(config, options.change), name=options.name or "")
        finally:
            os.close(fd)
    print(image)
    return 0


def _opened(path: str) -> int:
    """Raises OSError; a directory can be opened, and not be read."""
    if os.path.isdir(path):
        raise IsADirectoryError(EISDIR, os.strerror(EISDIR), path)
    return os.open(path, os.O_RDONLY | os.O_CLOEXEC)


def _downloaded(store: "Store", url: str) -> int:
    """What the URL leads to, in a file without a name. Raises RemoteError."""
    from builder.remote.address import parse_address
    from builder.remote.body import Body
    from builder.remote.transfer import LIMITS, Http

    path = store.temporary.path(store.temporary.name())
    body = Body(path)
    os.unlink(path)
    http = Http(dict(os.environ), LIMITS, lambda text: print(text, file=sys.stderr, flush=True))
    try:
        http.download(parse_address(url), body)
    except BaseException:
        body.close()
        raise
    finally:
        http.close()
    os.lseek(body.fd, 0, os.SEEK_SET)
    return body.fd
