"""Annotations that a build gave its image, kept for whoever pushes it later: no part of the image, whose ID is its config's. On the cached path."""

from marshal import dumps, loads

from store.digest import Digest

TYPE_CHECKING = False
if TYPE_CHECKING:
    from builder.annotations import Pairs
    from store.store import Store


def remember(store: "Store", texts: tuple[str, ...], image: Digest) -> None:
    """texts: values of `--annotation`; what an earlier build of the same image said is forgotten."""
    if not texts and not remembered(store, image):
        return
    from builder.annotations import MANIFEST, at_level, parse

    said = tuple(annotation for text in texts for annotation in parse(text))
    store.images.note(image, "annotations", dumps(at_level(said, MANIFEST, store.images.config(image).platform), 2))


def remembered(store: "Store", image: Digest) -> "Pairs":
    """What the last build of this image gave its manifest."""
    data = store.images.noted(image, "annotations")
    return loads(data) if data is not None else ()
