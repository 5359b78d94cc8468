"""`pybuild manifest annotate`: how an index describes one of its images."""

from pybuild.option import LIST, VALUE, Operand, Option, Usage
from pybuild.place import open_store
from pybuild.scanner import Misuse, Options

TYPE_CHECKING = False
if TYPE_CHECKING:
    from store.oci import Descriptor

USAGE = Usage("Change what an index says about one of its images: for which platform it is, its annotations.",
              "pybuild manifest annotate --arch arm64 --variant v8 r.example.com/app:1 r.example.com/app:1-arm64",
              (Operand("name", "1", "name of the index"), Operand("image", "1", "one that it lists: its digest, or its name")),
              (Option("--arch", VALUE, "set the architecture", "ARCH"),
               Option("--os", VALUE, "set the operating system", "OS"),
               Option("--os-version", VALUE, "set the version of the operating system", "VERSION"),
               Option("--os-features", LIST, "set the features of the operating system", "FEATURE"),
               Option("--variant", VALUE, "set the variant of the architecture", "VARIANT"),
               Option("--annotation", LIST, "add an annotation of the index's entry", "NAME=VALUE")))


def main(options: Options) -> int:
    from pybuild.image.manifest.create import pairs_of
    from pybuild.session import open_session
    from pybuild.user import enter
    from store.registry.manifestlist import annotate

    annotations = pairs_of(options.annotation)
    said = {name: value for name, value in (("architecture", options.arch), ("os", options.os), ("os_version", options.os_version),
                                            ("variant", options.variant)) if value is not None}
    features = tuple(part for text in options.os_features for part in text.split(",") if part)
    if features:
        said["os_features"] = features
    if not (said or annotations):
        raise Misuse("nothing is said to be changed", "give one of --arch, --os, --os-version, --os-features, --variant, --annotation")

    def change(descriptor: "Descriptor") -> "Descriptor":
        from msgspec.structs import replace

        from store.oci import Platform

        platform = replace(descriptor.platform or Platform("", "linux"), **said) if said else descriptor.platform
        if said and platform is not None and not platform.architecture:
            raise Misuse("the index does not say for which architecture the image is", "say it with --arch")
        return replace(descriptor, platform=platform, annotations={**(descriptor.annotations or {}), **annotations} or None)

    with open_session(options.config) as session, open_store(options) as store:
        enter(store)
        annotate(store, session, options.name, options.image, change)
    return 0
