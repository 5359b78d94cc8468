"""The opened store: everything that a root directory holds, each part made when it is first asked for.

`Store(open_root(path, run))`; close it at the end of the command, so that use times are written and leases go.
"""

from store.index import Index
from store.lease import Leases
from store.root import Root
from store.temporary import Temporary

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from store.blobs import Blobs
    from store.cache import Cache
    from store.events import Events
    from store.images import Images, Layer
    from store.layerblobs import LayerBlobs
    from store.origins import Origins
    from store.presence import Fetch
    from store.snapshots import SnapshotId, Snapshots
    from store.view import View

MOUNTS = 120                             # directories that are mounted on each other at most


class Store:
    __slots__ = ("_blobs", "_cache", "_events", "_images", "_layerblobs", "_origins", "_snapshots", "fetch", "index", "leases", "limits", "root",
                 "temporary")

    def __init__(self, root: Root) -> None:
        self.root = root
        self.index = Index(f"{root.path}/index.db")
        self.leases = Leases(f"{root.path}/leases")
        self.temporary = Temporary(f"{root.path}/tmp", self.leases)
        self._blobs: "Blobs | None" = None
        self._cache: "Cache | None" = None
        self._events: "Events | None" = None
        self._images: "Images | None" = None
        self._layerblobs: "LayerBlobs | None" = None
        self._origins: "Origins | None" = None
        self._snapshots: "Snapshots | None" = None
        self.limits: "Callable[[], tuple[int, int]] | None" = None       # bytes and entries that a layer may unpack to: given by who has them
        self.fetch: "Fetch | None" = None        # brings layers of an image of which only the config was pulled: given by who may use the network

    @property
    def snapshots(self) -> "Snapshots":
        if self._snapshots is None:
            from store.snapshots import Snapshots

            self._snapshots = Snapshots(f"{self.root.path}/snapshots", self.temporary, self.root.owners)
        return self._snapshots

    @property
    def blobs(self) -> "Blobs":
        if self._blobs is None:
            from store.blobs import Blobs

            self._blobs = Blobs(f"{self.root.path}/blobs", self.temporary)
        return self._blobs

    @property
    def cache(self) -> "Cache":
        if self._cache is None:
            from store.cache import Cache

            self._cache = Cache(self.index, self.root.path)
        return self._cache

    @property
    def images(self) -> "Images":
        if self._images is None:
            from store.images import Images

            self._images = Images(self.index, self.blobs, self.snapshots, self.leases, self._shortened, self._image_event,
                                  self._present)
        return self._images

    @property
    def layerblobs(self) -> "LayerBlobs":
        if self._layerblobs is None:
            from store.layerblobs import LayerBlobs

            self._layerblobs = LayerBlobs(self.index, self.blobs, self.snapshots)
        return self._layerblobs

    @property
    def origins(self) -> "Origins":
        if self._origins is None:
            from store.origins import Origins

            self._origins = Origins(self.index)
        return self._origins

    @property
    def events(self) -> "Events":
        if self._events is None:
            from store.events import Events

            self._events = Events(f"{self.root.path}/logs")
        return self._events

    def view(self, layers: "Sequence[Layer]") -> "View":
        """The merged look at these layers (bottom first, as images list them); the caller closes it."""
        from functools import partial

        from store.view import View

        parts = self.images.parts(layers)
        trees = [partial(self.snapshots.own_tree, part) if self.snapshots.has_tree(part) else None for part in parts]
        return View([self.snapshots.path(part) for part in parts], owners=self.root.owners, trees=trees)

    def close(self) -> None:
        """Write what is due and let go of everything. Idempotent."""
        self.index.close()
        self.leases.release()

    def __enter__(self) -> "Store":
        return self

    def __exit__(self, *what: object) -> None:
        self.close()

    def _shortened(self, parts: "tuple[SnapshotId, ...]") -> "tuple[SnapshotId, ...]":
        if len(parts) <= MOUNTS:
            return parts
        from store.merging import shortened

        return shortened(self, parts)

    def _present(self, layers: "Sequence[Layer]") -> "tuple[Layer, ...]":
        from store.presence import present

        return present(self, layers, self.fetch)

    def _image_event(self, action: str, image: str, name: str) -> None:
        self.events.emit("image", action, image, {"name": name})
