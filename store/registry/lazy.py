"""Layers of lazily pulled images, fetched when somebody must read them: the `fetch` of a store that may use the network."""

from store.oci import Descriptor
from store.presence import LayerAbsent, with_known
from store.reference import parse_reference
from store.registry.errors import NotInRegistry
from store.registry.layers import Source, fetch_layers
from store.registry.progress import Serial

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from store.digest import Digest
    from store.images import Layer
    from store.presence import Fetch
    from store.registry.progress import OnProgress
    from store.registry.session import Session
    from store.store import Store


def fetcher(session: "Callable[[], Session]", on_progress: "OnProgress | None" = None) -> "Fetch":
    """What to set `Store.fetch` to. session: called when something has to be fetched."""
    progress = Serial(on_progress)

    def fetch(store: "Store", layers: "tuple[Layer, ...]") -> "tuple[Layer, ...]":
        while True:
            sources = _sources(store, session(), layers)
            try:
                return fetch_layers(store, layers, sources, progress)
            except NotInRegistry as error:               # it was there; perhaps another repository still has it
                gone = [(d, s) for d, s in sources.items() if error.what.endswith(s.descriptor.digest)]
                if not gone:
                    raise
                for _, source in gone:
                    store.origins.forget(source.descriptor.digest, source.repository.name)
                layers = tuple(with_known(store, layers))

    return fetch


def _sources(store: "Store", session: "Session", layers: "tuple[Layer, ...]") -> "dict[Digest, Source]":
    sources: "dict[Digest, Source]" = {}
    for layer in layers:
        if not layer.snapshot and not store.layerblobs.of(layer.diff_id):
            origins = store.origins.of(layer.diff_id)
            if not origins:
                raise LayerAbsent(layer.diff_id)
            origin = origins[0]
            repository = session.repository(parse_reference(origin.repository))
            sources[layer.diff_id] = Source(repository, Descriptor(origin.media_type, origin.digest, origin.size))
    return sources
