"""What else a build gives away (`--output`): archives, OCI layouts, the root file system as a tar or as files. In: an image of the store."""

import os

from builder.errors import BuildError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from builder.request import Output
    from store.digest import Digest
    from store.document import Packing
    from store.store import Store

    Write = Callable[[bytes | bytearray | memoryview], object]

KINDS = ("image", "docker", "oci", "tar", "local", "registry", "cacheonly")
COMPRESSIONS = ("uncompressed", "gzip", "zstd")


def check_outputs(outputs: "tuple[Output, ...]") -> None:
    """Raises BuildError for an output that cannot be, before anything is built."""
    for output in outputs:
        if output.type not in KINDS:
            raise BuildError(f"there is no output of type `{output.type}`", help=f"the types are {', '.join(KINDS)}")
        if output.type in ("tar", "local") and not output.dest:
            raise BuildError(f"an output of type `{output.type}` needs a destination", help=f"--output type={output.type},dest=PATH")
        if output.type == "local" and output.dest == "-":
            raise BuildError("an output of type `local` is a directory, and cannot go to stdout")
        compression = output.option("compression")
        if compression and compression not in COMPRESSIONS:
            raise BuildError(f"there is no compression `{compression}`", help=f"there are {', '.join(COMPRESSIONS)}")
        if output.option("compression-level") and not output.option("compression-level").isdigit():
            raise BuildError(f"`{output.option('compression-level')}` is no compression level")


def write_outputs(store: "Store", outputs: "tuple[Output, ...]", names: tuple[str, ...], image: "Digest") -> None:
    """Write those that are files. "-" is stdout; a file appears under its name when it is whole."""
    for output in outputs:
        if output.type in ("docker", "oci") and output.dest:
            _write_archive(store, output, names, image)
        elif output.type == "tar":
            with Opened(output.dest) as file:
                write_root_tar(store, image, file.write)
        elif output.type == "local":
            write_files(store, image, output.dest)


def _write_archive(store: "Store", output: "Output", names: tuple[str, ...], image: "Digest") -> None:
    from store.archivewriter import Chosen, write_archive
    from store.layout import write_layout
    from store.reference import parse_reference

    named = tuple(output.option("name").split(",")) if output.option("name") else names
    chosen = (Chosen(image, tuple(str(parse_reference(name)) for name in named)),)
    if output.type == "oci" and output.option("tar", "true") == "false":
        write_layout(store, chosen, output.dest, packing_of(output))
        return
    with Opened(output.dest) as file:
        write_archive(store, chosen, file.write, output.type, packing_of(output))


def packing_of(output: "Output") -> "Packing":
    """How an output wants its layers packed."""
    from store.document import Packing

    level = output.option("compression-level")
    compression = output.option("compression") or ("uncompressed" if output.type == "docker" else "")
    docker = output.type == "docker" or output.option("oci-mediatypes") == "false"
    return Packing(compression, int(level) if level else None, output.option("force-compression") == "true", docker)


def write_root_tar(store: "Store", image: "Digest", write: "Write") -> None:
    """The whole root file system, layers merged, as one tar."""
    from store.pack import write_tar

    with store.view(store.images.layers(image)) as view:
        write_tar(view.walk(), view.directories, write)


def write_files(store: "Store", image: "Digest", destination: str) -> None:
    """The root file system as files below `destination`, all of them the user's own; what is there already is merged with."""
    from builder.copying import Dressing, copy
    from builder.graph import Pick, Selector
    from builder.layerfiles import LayerFiles
    from builder.selection import take
    from builder.target import Target
    from store.view import View

    os.makedirs(destination, exist_ok=True)
    files = LayerFiles(store.view(store.images.layers(image)), "the image")
    target = Target(View(()), destination)
    try:
        target.look_again()
        copy(files, take(files, Selector((Pick(""),), wildcards=False)), target, "/", Dressing((os.geteuid(), os.getegid())))
    finally:
        target.close()
        files.close()


class Opened:
    """A file to write that appears under its name when it is whole; "-" is stdout."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._new = f"{path}.{os.getpid()}.part"

    def __enter__(self) -> "Opened":
        self._file = os.fdopen(os.dup(1), "wb") if self._path == "-" else open(self._new, "wb")
        return self

    def write(self, data: "bytes | bytearray | memoryview") -> None:
        self._file.write(data)

    def __exit__(self, kind: object, *rest: object) -> None:
        self._file.close()
        if self._path != "-":
            if kind is None:
                os.rename(self._new, self._path)
            else:
                os.unlink(self._new)
