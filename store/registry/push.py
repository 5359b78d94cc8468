"""Push: an image of the store -> a repository. In: a name; out: the digest under which the registry has it now.

A tag that leads to what would be pushed costs one question. Only for more than that is the rest loaded (store.registry.sending).
"""

from kernel.value import Value
from store.digest import Digest
from store.errors import InvalidReference
from store.reference import parse_reference
from store.registry.errors import AccessDenied, NotInRegistry

TYPE_CHECKING = False
if TYPE_CHECKING:
    from store.document import Packing
    from store.reference import Reference
    from store.registry.glance import Head
    from store.registry.progress import OnProgress
    from store.registry.session import Session
    from store.store import Store


class Pushed(Value):
    """What the tag leads to in the registry now. size: bytes of the manifest."""

    reference: "Reference"
    digest: Digest
    size: int
    media_type: str


def push(store: "Store", session: "Session", name: str, packing: "Packing | None" = None, on_progress: "OnProgress | None" = None, *,
         image: "Digest | None" = None, document: "Digest | None" = None, annotations: "dict[str, str] | None" = None,
         by_digest: bool = False) -> Pushed:
    """Push the image of this name, or `image` under this name. document: the manifest or index to push, if it is one of several; the name
    then goes on to lead to what it led to.

    by_digest: no tag leads to it there: whoever knows its digest finds it.
    packing: how layers are to be packed that have no blob yet, or all of them if it says so; None: as they are, else gzip.
    Raises ReferenceMissing, InvalidReference, RegistryError, AccessDenied; what was sent until then stays in the registry, without a name.
    """
    reference = parse_reference(name)
    if reference.digest:
        raise InvalidReference(name, name.index("@"), "what is pushed gets its digest from its content, so a name with a digest cannot be given")
    image = image or store.images.require(name).id
    head = None if by_digest else _head(store, session, reference)
    if head is not None and document is None and packing is None and not annotations and _is_of(store, reference, image, head):
        return Pushed(reference, head.digest, head.size, head.media_type)
    from store.registry.progress import Serial
    from store.registry.sending import Sending

    sending = Sending(store, session, reference, packing, Serial(on_progress), annotations, head.digest if head else "", by_digest)
    descriptor = sending.run(image, document)
    return Pushed(reference, descriptor.digest, descriptor.size, descriptor.media_type)


def _head(store: "Store", session: "Session", reference: "Reference") -> "Head | None":
    """What the tag leads to now; None where that is nothing, or nobody's business."""
    try:
        seen = session.glance(reference) if store.images.target(str(reference)) else None      # it may well be there already
        return seen or session.repository(reference).home_head(reference.tag)
    except (NotInRegistry, AccessDenied):
        return None


def _is_of(store: "Store", reference: "Reference", image: Digest, head: "Head") -> bool:
    """Whether the registry has under the tag what this very name was pulled or pushed with."""
    record = store.images.resolve(str(reference))
    return record is not None and record.id == image and store.images.target(str(reference)) == head.digest
