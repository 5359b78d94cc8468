"""`pybuild push`: images to registries."""

from pybuild.option import COUNT, FLAG, VALUE, Operand, Option, Usage
from pybuild.place import open_store
from pybuild.scanner import Misuse, Options

TYPE_CHECKING = False
if TYPE_CHECKING:
    from store.digest import Digest
    from store.document import Packing
    from store.registry.session import Session
    from store.store import Store

USAGE = Usage("Push images to their registries. What a registry has already, in this or another repository, is not sent again.",
              "pybuild push registry.example.com/team/app:1.0\npybuild push --compression zstd registry.example.com/team/app",
              (Operand("image", "1", "name of an image of the store"), Operand("destination", "?", "push it under this name instead")),
              (Option("-a --all-tags", FLAG, "push every tag of the repository"),
               Option("--compression", VALUE, "how layers are packed that have no blob yet", "KIND", choices=("gzip", "zstd", "uncompressed")),
               Option("--compression-level", COUNT, "how hard they are packed", "N"),
               Option("--force-compression", FLAG, "pack layers anew that are packed otherwise"),
               Option("--format", VALUE, "media types of the manifest", "FORMAT", "oci", choices=("oci", "docker")),
               Option("--platform", VALUE, "of a name that leads to an index, push this image of it alone", "OS/ARCH"),
               Option("--digestfile", VALUE, "write the digest to FILE", "FILE"),
               Option("-q --quiet", FLAG, "print nothing but the names"),
               Option("--disable-content-trust", FLAG, "for habits", hidden=True)))


def main(options: Options) -> int:
    from pybuild.session import open_session
    from pybuild.user import enter
    from store.reference import parse_reference

    if options.all_tags and (options.destination or parse_reference(options.image, default_tag="").tag):
        raise Misuse("--all-tags takes one name without a tag")
    digests = []
    with open_session(options.config) as session, open_store(options) as store:
        enter(store)
        names = _names(store, options.image) if options.all_tags else [options.image]
        for name in names:
            digests.append(_push(store, session, name, options))
    if options.digestfile:
        with open(options.digestfile, "w") as file:
            file.write("\n".join(digests))
    return 0


def _names(store: "Store", name: str) -> "list[str]":
    from store.errors import ReferenceMissing
    from store.reference import parse_reference

    repository = parse_reference(name).name
    names = sorted(n for record in store.images.list() for n in record.names if n.startswith(f"{repository}:"))
    if not names:
        raise ReferenceMissing(name)
    return names


def _push(store: "Store", session: "Session", name: str, options: Options) -> str:
    from pybuild.output.transfer import TransferLines
    from store.reference import parse_reference
    from store.registry.push import push

    image = store.images.require(name).id if options.destination else None
    document = _document(store, name, options.platform)
    annotations = None if document else _annotations(store, name)
    target = options.destination or name
    reference = parse_reference(target)
    if not options.quiet:
        print(f"The push refers to repository [{reference.name}]", flush=True)
    with TransferLines(quiet=options.quiet) as lines:
        pushed = push(store, session, target, _packing(options), lines, image=image, document=document, annotations=annotations)
    print(reference if options.quiet else f"{reference.tag}: digest: {pushed.digest} size: {pushed.size}")
    return pushed.digest


def _annotations(store: "Store", name: str) -> "dict[str, str] | None":
    """What the build of the image gave its manifest; None once it has one that is known."""
    from builder.annotated import remembered

    record = store.images.resolve(name)
    if record is None or any(store.images.target(one) for one in record.names):
        return None
    return dict(remembered(store, record.id)) or None


def _document(store: "Store", name: str, platform: "str | None") -> "Digest | None":
    """The manifest for the platform, where the name leads to an index. Raises InvalidPlatform, ReferenceMissing."""
    if not platform:
        return None
    from store.platform import parse_platform
    from store.variants import part

    entry = part(store, name, parse_platform(platform))
    return entry.digest if entry else None


def _packing(options: Options) -> "Packing | None":
    """None where nothing was asked for."""
    if not (options.compression or options.compression_level is not None or options.force_compression or options.format == "docker"):
        return None
    from store.document import Packing

    return Packing(options.compression or "", options.compression_level, options.force_compression, options.format == "docker")
