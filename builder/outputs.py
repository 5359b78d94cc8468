"""What else a build gives away (`--output`): archives, OCI layouts, the root file system as a tar or as files. In: an image of the store."""

import errno
import os
import stat

from builder.annotations import DESCRIPTOR, MANIFEST, at_level, of_output, parse
from builder.errors import BuildError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from builder.request import Output, Request
    from store.archivewriter import Chosen
    from store.digest import Digest
    from store.document import Packing
    from store.store import Store

    Write = Callable[[bytes | bytearray | memoryview], object]

KINDS = ("image", "docker", "oci", "tar", "local", "registry", "cacheonly")
COMPRESSIONS = ("uncompressed", "gzip", "zstd")
_LEVELS = {"gzip": 9, "zstd": 22, "": 9}
_PACKED = ("name", "compression", "compression-level", "force-compression", "oci-mediatypes", "rewrite-timestamp", "squash", "context")
_PUSHED = (*_PACKED, "push-by-digest", "name-canonical", "unpack", "store", "registry.insecure")
_OPTIONS = {"image": (*_PUSHED, "push"), "registry": (*_PUSHED, "push"), "docker": (*_PACKED, "tar"), "oci": (*_PACKED, "tar"),
            "tar": ("platform-split",), "local": ("platform-split", "mode"), "cacheonly": ()}
# options that there is only one way for here: what they may say, and what is so
_FIXED = {
    "store": ("true", "an image is always put into the store"),
    "rewrite-timestamp": ("true", "with SOURCE_DATE_EPOCH, files of new layers never are younger than it"),
    "registry.insecure": ("false", "insecure registries are named in the configuration file"),
}
_TRUTHS = ("push", "force-compression", "oci-mediatypes", "rewrite-timestamp", "squash", "tar", "push-by-digest", "name-canonical", "unpack", "store",
           "registry.insecure", "platform-split")


def check_outputs(request: "Request") -> None:
    """Raises BuildError for an output that cannot be, before anything is built; InvalidReference for a name."""
    from store.reference import parse_new_name

    for name in (*request.names, *(name for output in request.outputs for name in output.names)):
        parse_new_name(name)
    for text in request.annotations:
        parse(text)
    for output in request.outputs:
        if output.type not in KINDS:
            raise BuildError(f"there is no output of type `{output.type}`", help=f"the types are {', '.join(KINDS)}")
        for option, value in output.options:
            _check_option(output.type, option, value)
        _check_destination(output)
        if output.option("mode") == "delete":
            _check_deleting(request, output.dest)
        _check_packing(output)
        of_output(request, output)
        if is_push(output):
            _check_push(request, output)
    if request.squashes:
        _check_squashing(request)
    if sum(output.dest == "-" for output in request.outputs) > 1:
        raise BuildError("two outputs cannot both go to stdout")


def _check_squashing(request: "Request") -> None:
    """A build yields one image, squashed or not."""
    if any("squash" in _OPTIONS[output.type] and output.option("squash") != "true" for output in request.outputs):
        raise BuildError("a build has one image, and its outputs do not agree whether it is squashed",
                         help="give each of them `squash=true`, or none")
    if request.has_inline_cache:
        raise BuildError("a squashed image cannot be a cache: it has no layer of any step",
                         help="`--cache-to` registry or local keeps them elsewhere")


def _check_option(kind: str, option: str, value: str) -> None:
    known = _OPTIONS[kind]
    if option.startswith("annotation") and "name" in known and "." in option:
        return                                           # `of_output` reads it
    if option not in known:
        raise BuildError(f"an output of type `{kind}` has no option `{option}`", help=f"it has {', '.join(known)}" if known else "it has none")
    if option == "mode" and value not in ("copy", "delete"):
        raise BuildError(f"`mode={value}` of an output is neither copy nor delete")
    if option in _TRUTHS and value not in ("true", "false"):
        raise BuildError(f"`{option}={value}` of an output is neither true nor false")
    if option in _FIXED and value != _FIXED[option][0]:
        raise BuildError(f"`{option}={value}` of an output is not there", help=_FIXED[option][1])


def _check_destination(output: "Output") -> None:
    kind, dest = output.type, output.dest
    if kind in ("tar", "local") and not dest:
        raise BuildError(f"an output of type `{kind}` needs a destination", help=f"--output type={kind},dest=PATH")
    unpacked = kind == "local" or (kind == "oci" and output.option("tar") == "false")
    if unpacked and dest == "-":
        raise BuildError(f"an output of type `{kind}` is a directory here, and cannot go to stdout")
    if kind == "docker" and output.option("tar") == "false":
        raise BuildError("an output of type `docker` is always an archive", help="--output type=oci,tar=false,dest=DIRECTORY is a directory")
    if kind in ("image", "registry", "cacheonly") and dest:
        raise BuildError(f"an output of type `{kind}` has no destination", help="`name=` says how an image is called")
    if not dest or dest == "-":
        return
    if unpacked and os.path.lexists(dest) and not os.path.isdir(dest):
        raise BuildError(f"the output's destination `{dest}` is no directory")
    if not unpacked and os.path.isdir(dest):
        raise BuildError(f"the output's destination `{dest}` is a directory, and is to be a file")
    if not unpacked and not os.path.isdir(os.path.dirname(dest)):
        raise BuildError(f"there is no directory for the output `{dest}`")


def _check_deleting(request: "Request", dest: str) -> None:
    """What is deleted must not be what is built from, nor the machine."""
    place = os.path.realpath(dest)
    for source in ("/", *((os.path.realpath(request.context),) if request.context else ())):
        if os.path.commonpath((place, source)) == place:
            raise BuildError(f"with `mode=delete` all else in `{dest}` would go, and `{source}` lies there")


def _check_packing(output: "Output") -> None:
    compression, level = output.option("compression"), output.option("compression-level")
    if compression and compression not in COMPRESSIONS:
        raise BuildError(f"there is no compression `{compression}`", help=f"there are {', '.join(COMPRESSIONS)}")
    if level and (not level.isdecimal() or int(level) > _LEVELS.get(compression, 0)):
        raise BuildError(f"`{level}` is no level of the compression {compression or 'gzip'}",
                         help=", ".join(f"{name}: up to {top}" for name, top in _LEVELS.items() if name))


def _check_push(request: "Request", output: "Output") -> None:
    if not (output.names or request.names):
        raise BuildError("an image that is pushed needs a name", help="give it one with `-t NAME`")
    if any(annotation.level == DESCRIPTOR for annotation in of_output(request, output)):
        raise BuildError("an image that is pushed alone is described by no index, so its descriptor has no annotations",
                         help="annotate its `manifest:`")


def is_push(output: "Output") -> bool:
    return output.type == "registry" or (output.type == "image" and output.option("push") == "true")


def write_outputs(store: "Store", request: "Request", image: "Digest") -> None:
    """Write those that are files. "-" is stdout; a file appears under its name when it is whole."""
    for output in request.outputs:
        if output.type in ("docker", "oci") and output.dest:
            _write_archive(store, output, chosen_of(store, request, output, image))
        elif output.type == "tar":
            with Opened(output.dest) as file:
                write_root_tar(store, image, file.write)
        elif output.type == "local":
            with OpenedDirectory(output.dest) as directory:
                write_files(store, image, directory, delete=output.option("mode") == "delete")


def chosen_of(store: "Store", request: "Request", output: "Output", image: "Digest") -> "Chosen":
    """The image with its names and annotations, as an output has it."""
    from store.archivewriter import Chosen
    from store.reference import parse_reference

    names = tuple(str(parse_reference(name)) for name in output.names or request.names)
    annotations = of_output(request, output)
    if not annotations:
        return Chosen(image, names)
    platform = store.images.config(image).platform
    return Chosen(image, names, at_level(annotations, MANIFEST, platform), at_level(annotations, DESCRIPTOR, platform))


def _write_archive(store: "Store", output: "Output", chosen: "Chosen") -> None:
    from store.archivewriter import write_archive
    from store.layout import write_layout

    if output.option("tar", "true") == "false":
        with OpenedDirectory(output.dest) as directory:
            write_layout(store, (chosen,), directory, packing_of(output))
        return
    with Opened(output.dest) as file:
        write_archive(store, (chosen,), file.write, output.type, packing_of(output))


def packing_of(output: "Output") -> "Packing":
    """How an output wants its layers packed."""
    from store.document import Packing

    level = output.option("compression-level")
    compression = output.option("compression") or ("uncompressed" if output.type == "docker" else "")
    docker = output.option("oci-mediatypes", "false" if output.type == "docker" else "true") == "false"
    return Packing(compression, int(level) if level else None, output.option("force-compression") == "true", docker)


def write_root_tar(store: "Store", image: "Digest", write: "Write") -> None:
    """The whole root file system, layers merged, as one tar."""
    from store.pack import write_tar

    with store.view(store.images.layers(image)) as view:
        write_tar(view.walk(), view.directories, write)


def write_files(store: "Store", image: "Digest", destination: str, *, delete: bool = False) -> None:
    """The root file system as files below `destination`, all of them the user's own; what is there already is merged with, or with `delete` goes."""
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
        if delete:
            from builder.clearing import clear

            clear(files, destination)
        target.look_again()
        copy(files, take(files, Selector((Pick(""),), wildcards=False)), target, "/", Dressing((os.geteuid(), os.getegid())))
    finally:
        target.close()
        files.close()


class Opened:
    """A file to write that appears under its name when it is whole; "-" is stdout. Killed meanwhile, it leaves nothing where the file system can.

    A link stays, and what it leads to is written anew; a device or a pipe that has the name is written into.
    """

    def __init__(self, path: str) -> None:
        self._path, self._real = path, os.path.realpath(path)
        self._new = f"{self._real}.{os.getpid()}.part"
        self._named = self._direct = False

    def __enter__(self) -> "Opened":
        self._file = os.fdopen(os.dup(1) if self._path == "-" else self._open(), "wb")
        return self

    def _open(self) -> int:
        try:
            before = os.stat(self._path).st_mode
        except FileNotFoundError:
            before = 0
        if stat.S_ISDIR(before):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), self._path)
        if before and not stat.S_ISREG(before):
            self._direct = True
            return os.open(self._path, os.O_WRONLY | os.O_CLOEXEC)
        fd = self._begin()
        if before:
            os.fchmod(fd, stat.S_IMODE(before))
        return fd

    def _begin(self) -> int:
        try:
            return os.open(os.path.dirname(self._real), os.O_TMPFILE | os.O_WRONLY | os.O_CLOEXEC, 0o666)
        except OSError:                                  # a file system without files that have no name yet, or no such directory: said now
            self._named = True
        try:
            return os.open(self._new, os.O_CREAT | os.O_TRUNC | os.O_WRONLY | os.O_CLOEXEC, 0o666)
        except OSError as error:
            error.filename = self._path
            raise

    def write(self, data: "bytes | bytearray | memoryview") -> None:
        self._file.write(data)

    def __exit__(self, kind: object, *rest: object) -> None:
        with self._file:
            if self._path == "-" or self._direct:
                return
            if kind is None and not self._named:
                self._file.flush()
                fd = self._file.fileno()
                os.link(f"/proc/self/fd/{fd}", self._new, src_dir_fd=fd, follow_symlinks=True)      # with a directory given, links are followed
        if kind is None:
            os.rename(self._new, self._real)
        elif self._named:
            os.unlink(self._new)


class OpenedDirectory:
    """A directory to write: a new one appears under its name when it is whole, what is there already is written into."""

    def __init__(self, path: str) -> None:
        self._path = path.rstrip("/") or "/"
        self._new = "" if os.path.lexists(self._path) else f"{self._path}.{os.getpid()}.part"

    def __enter__(self) -> str:
        if self._new:
            os.makedirs(os.path.dirname(self._path) or ".", exist_ok=True)
        return self._new or self._path

    def __exit__(self, kind: object, *rest: object) -> None:
        if not self._new:
            return
        if kind is None:
            os.rename(self._new, self._path)
            return
        from kernel.paths import DIRECTORY, remove_tree  # needs ctypes, which a cached build does without

        fd = os.open(os.path.dirname(self._path) or ".", DIRECTORY)
        try:
            remove_tree(fd, os.path.basename(self._new))
        finally:
            os.close(fd)
