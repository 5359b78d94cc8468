"""Pull: a name -> an image in the store, under that name. In: a name; out: the image's ID.

A name that leads to what is here already costs one question. Only for more than that is the rest loaded (store.registry.fetching). A lazy pull
fetches manifest and config; the layers come when somebody must read them (store.registry.lazy).
"""

from kernel.value import Value
from store.digest import Digest
from store.machine import local_platform_words
from store.reference import Reference, parse_reference

TYPE_CHECKING = False
if TYPE_CHECKING:
    from store.oci import Platform
    from store.registry.glance import Head
    from store.registry.progress import OnProgress
    from store.registry.session import Session
    from store.store import Store


class Pulled(Value):
    """reference: the name in full; digest: of the manifest or index that it led to; new: whether anything was fetched."""

    image: Digest
    reference: Reference
    digest: Digest
    new: bool


class Options(Value):
    """platform: which image of an index (None: this machine's); lazy: leave the layers for later; whole: everything an index lists, for giving it
    on; named: let the name lead to the image."""

    platform: "Platform | None" = None
    lazy: bool = False
    whole: bool = False
    named: bool = True


def pull(store: "Store", session: "Session", name: str, options: "Options | None" = None, on_progress: "OnProgress | None" = None) -> Pulled:
    """Raises InvalidReference, NotInRegistry, NoPlatform, RegistryError, InvalidImage, InvalidLayer, DigestMismatch, Unsigned, NoRoom; the name then
    leads to where it led before."""
    reference, options = parse_reference(name), options or Options()
    head = None if reference.digest else _glance(store, session, reference) or session.repository(reference).head(reference.tag)
    if head is not None and not options.whole and session.config.keys_for(reference.name) is None:
        here = _here(store, reference, head, options)
        if here is not None:
            return Pulled(here, reference, head.digest, False)
    from store.registry.fetching import Fetching
    from store.registry.progress import Serial

    return Fetching(store, session.repository(reference), reference, options, Serial(on_progress), session, head).run()


def _glance(store: "Store", session: "Session", reference: Reference) -> "Head | None":
    """A first look, where the image may well be here already."""
    return session.glance(reference) if store.images.target(str(reference)) else None


def _here(store: "Store", reference: Reference, head: "Head", options: Options) -> "Digest | None":
    """The image that the name leads to, if that is what the registry has under it, for the same platform and complete."""
    name = str(reference)
    if store.images.target(name) != head.digest:
        return None
    record = store.images.resolve(name)
    if record is None or record.platform != (str(options.platform) if options.platform else local_platform_words()):
        return None
    if not store.images.keep(record.id):                 # a collection was faster
        return None
    return record.id if options.lazy or store.images.is_complete(record.id) else None
