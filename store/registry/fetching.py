"""Fetching an image: manifests, config and layers -> the store. In: what a registry says, not trusted in anything; out: the image's ID.

Read in this order: `Fetching.run`, `_image`, `_layers`. What is here is not fetched again: not the manifest of a known digest, no config, no layer.
"""

from store.digest import Digest
from store.errors import InvalidImage, StoreError
from store.oci import CONFIG_LIMIT, MANIFEST_LIMIT, Descriptor, ImageConfig, Index, Manifest, compression_of, from_json, parse_manifest
from store.origins import Origin
from store.platform import choose, fits, local_platform
from store.presence import absent, present, with_known
from store.registry.errors import NoPlatform
from store.registry.layers import Source, fetch_layers
from store.registry.progress import EXISTS, WAITING, Transfer, Word
from store.registry.pull import Options, Pulled
from store.registry.repository import Found

TYPE_CHECKING = False
if TYPE_CHECKING:
    from store.images import Layer
    from store.reference import Reference
    from store.registry.glance import Head
    from store.registry.progress import OnProgress
    from store.registry.repository import Repository
    from store.registry.session import Session
    from store.store import Store

_DEPTH = 4                               # indexes inside of indexes


class Fetching:
    """One pull. head: what the registry said of the tag, None if it was not asked or did not say."""

    def __init__(self, store: "Store", repository: "Repository", reference: "Reference", options: Options, on_progress: "OnProgress",
                 session: "Session", head: "Head | None") -> None:
        self._store, self._repository, self._reference = store, repository, reference
        self._options, self._on_progress, self._session = options, on_progress, session
        self._head, self._platform = head, options.platform or local_platform()
        self._new = False

    def run(self) -> Pulled:
        top = self._top()
        self._check_trust(top)
        image = self._image(top, 0)
        if self._options.whole:
            self._whole(top, 0)
        if self._options.named:
            self._store.images.tag(image, str(self._reference), top.digest)
        if self._new:
            self._store.temporary.sweep(partials=False)  # what killed pulls had unpacked
        return Pulled(image, self._reference, top.digest, self._new)

    # ------------------------------------------------------------ manifests
    def _top(self) -> Found:
        """The manifest or index that the name leads to."""
        reference = self._reference
        if reference.digest:
            return self._document(Digest(reference.digest), "")
        head = self._head
        if head is None:                                 # it does not say: then it has to send
            return self._keep(self._repository.manifest(reference.tag))
        return self._document(head.digest, head.media_type)

    def _document(self, digest: Digest, media_type: str) -> Found:
        """A manifest by digest: the store's own, else fetched and kept."""
        blobs = self._store.blobs
        blobs.hold(digest)
        if blobs.has(digest):
            try:
                return Found(digest, media_type, blobs.read(digest, MANIFEST_LIMIT))
            except StoreError:
                blobs.delete(digest)                     # the disk has changed it
        found = self._repository.manifest(digest)
        return self._keep(found if found.media_type else found._replace(media_type=media_type))

    def _keep(self, found: Found) -> Found:
        self._store.blobs.put(found.data)
        self._new = True
        return found

    def _parsed(self, found: Found) -> "Manifest | Index":
        return parse_manifest(found.data, f"the manifest of `{self._reference.familiar()}`", found.media_type)

    def _check_trust(self, top: Found) -> None:
        keys = self._session.config.keys_for(self._reference.name)
        if keys is not None:
            from store.signing import require

            require(self._session, self._reference, top.digest, keys)

    # ------------------------------------------------------------ the image
    def _image(self, found: Found, depth: int) -> Digest:
        """Fetch the image for the platform."""
        document = self._parsed(found)
        if isinstance(document, Index):
            return self._image(self._chosen(document, depth), depth + 1)
        if not all(compression_of(layer.media_type) for layer in document.layers):
            kind = document.artifact_type or document.config.media_type
            raise InvalidImage(f"the manifest of `{self._reference.familiar()}`", f"it is no image that can be run (`{kind[:100]}`)")
        config = self._config(document)
        parsed = from_json(ImageConfig, config, f"the config of `{self._reference.familiar()}`")
        if len(parsed.diff_ids) != len(document.layers):
            raise InvalidImage(f"the config of `{self._reference.familiar()}`",
                               f"it has {len(parsed.diff_ids)} diff IDs, and the manifest {len(document.layers)} layers")
        self._check_platform(parsed)
        image = document.config.digest
        layers = absent(parsed.diff_ids, [layer.size for layer in document.layers])
        layers = tuple(with_known(self._store, layers)) if self._options.lazy else self._layers(layers, document)
        if not self._store.images.keep(image):
            self._store.images.add(config, layers)
        elif not self._options.lazy:
            self._store.images.complete(image)           # it was pulled lazily before
        self._note(document, parsed)                     # now that the image is known: of others a collection forgets where they are
        return image

    def _chosen(self, index: Index, depth: int) -> Found:
        if depth >= _DEPTH:
            raise InvalidImage(f"the index of `{self._reference.familiar()}`", f"it has indexes nested more than {_DEPTH} deep")
        usable = [d for d in index.manifests if not is_attestation(d)]
        chosen = choose(usable, self._platform)
        if chosen is None:
            raise NoPlatform(self._reference.familiar(), str(self._platform), tuple(dict.fromkeys(str(d.platform) for d in usable if d.platform)))
        return self._document(chosen.digest, chosen.media_type)

    def _check_platform(self, config: ImageConfig) -> None:
        """What is no index has one image for all who ask: whoever said which platform is told that it is another's."""
        wanted = self._options.platform
        if wanted is not None and not fits(config.platform, wanted):
            self._on_progress(Word(f"WARNING: the image `{self._reference.familiar()}` was found, but its platform ({config.platform}) "
                                   f"does not match the specified platform ({wanted})"))

    def _config(self, manifest: Manifest) -> bytes:
        digest = manifest.config.digest
        blobs = self._store.blobs
        blobs.hold(digest)
        if blobs.has(digest):
            try:
                return blobs.read(digest, CONFIG_LIMIT)
            except StoreError:
                blobs.delete(digest)
        data = self._repository.blob(manifest.config, CONFIG_LIMIT)
        self._new = True
        return data

    def _note(self, manifest: Manifest, config: ImageConfig) -> None:
        """Remember where the layers are: for fetching them later, and for mounting them when they are pushed."""
        self._store.origins.note(Origin(d.digest, self._repository.name, diff_id, d.media_type, d.size)
                                 for d, diff_id in zip(manifest.layers, config.diff_ids))

    def _layers(self, layers: "tuple[Layer, ...]", manifest: Manifest) -> "tuple[Layer, ...]":
        sources = {layer.diff_id: Source(self._repository, descriptor) for layer, descriptor in zip(layers, manifest.layers)}
        for known, descriptor in zip(with_known(self._store, layers), manifest.layers):
            self._on_progress(Transfer(descriptor.digest, EXISTS if known.snapshot else WAITING, 0, descriptor.size))
            self._new = self._new or not known.snapshot
        return present(self._store, layers, lambda store, wanted: fetch_layers(store, wanted, sources, self._on_progress))

    # ------------------------------------------------------------ everything of an index
    def _whole(self, found: Found, depth: int) -> None:
        """Manifests, configs and blobs of every platform, so that the index can be given on from here."""
        document = self._parsed(found)
        if isinstance(document, Manifest):
            for descriptor in (document.config, *document.layers):
                self._blob(descriptor)
            return
        if depth >= _DEPTH:
            raise InvalidImage(f"the index of `{self._reference.familiar()}`", f"it has indexes nested more than {_DEPTH} deep")
        for descriptor in document.manifests:
            self._whole(self._document(descriptor.digest, descriptor.media_type), depth + 1)

    def _blob(self, descriptor: Descriptor) -> None:
        from store.registry.download import fetch_blob

        self._store.blobs.hold(descriptor.digest)
        if self._store.blobs.has(descriptor.digest):
            return
        self._new = True
        fetch_blob(self._store, self._repository, descriptor, self._on_progress)


def is_attestation(descriptor: Descriptor) -> bool:
    """Whether an index's entry is about another one, and no image (BuildKit's provenance and SBOM)."""
    return (descriptor.annotations or {}).get("vnd.docker.reference.type") == "attestation-manifest"
