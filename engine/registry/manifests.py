"""Routes of manifests and tags: fetch, push, delete. What is stored is what was sent, byte for byte; what it names must be in the repository."""

import msgspec

from engine.http.message import Empty, Request, Response
from engine.http.route import Route
from engine.registry.answers import FOR_EVER, empty
from engine.registry.errors import Fault, RegistryError
from engine.registry.ledger import Ledger, Missing, Stored
from engine.registry.names import check_digest, check_name, is_tag
from engine.registry.uploads import Place
from store.blobs import Blobs
from store.digest import Digest, digest_of
from store.errors import BlobMissing, InvalidImage
from store.oci import INDEXES, MANIFEST_LIMIT, MANIFESTS, OCI_INDEX, OCI_MANIFEST, Descriptor, Index, Manifest, parse_manifest

_KNOWN = (*MANIFESTS, *INDEXES)
_UNSAID = ("", "application/json", "text/plain", "application/octet-stream")   # what clients send that do not know better


class ManifestRoutes:
    def __init__(self, ledger: Ledger, blobs: Blobs, place: Place) -> None:
        self._ledger, self._blobs, self._place = ledger, blobs, place

    def routes(self) -> "tuple[Route, ...]":
        path = "/v2/{name...}/manifests/{reference}"
        return Route("GET", path, self.fetch, "manifest"), Route("PUT", path, self.push, "manifest"), Route("DELETE", path, self.delete, "manifest")

    # ------------------------------------------------------------ fetch
    def fetch(self, request: Request) -> Response:
        name, reference = check_name(request.parameters["name"]), _reference(request.parameters["reference"])
        stored = self._ledger.manifest(name, reference)
        if stored is None:
            raise _unknown(self._ledger, name, reference)
        return self.answer(request, stored, fixed=":" in reference)

    def answer(self, request: Request, stored: Stored, *, fixed: bool) -> Response:
        """The manifest. fixed: it was asked for by its digest, so that the answer holds for ever."""
        tag = f'"{stored.digest}"'
        headers: "tuple[tuple[str, str], ...]" = (
            ("Docker-Content-Digest", stored.digest), ("ETag", tag), FOR_EVER if fixed else ("Cache-Control", "no-cache"))
        if tag in request.header("if-none-match"):
            return empty(304, *headers)
        headers = (*headers, ("Content-Type", stored.media_type))
        if request.method == "HEAD":
            return Response(200, headers, Empty(stored.size))
        try:
            return Response(200, headers, self._blobs.read(stored.digest, MANIFEST_LIMIT))
        except BlobMissing:
            raise RegistryError("MANIFEST_UNKNOWN", "the manifest was here, and is not any more", stored.digest) from None

    # ------------------------------------------------------------ push
    def push(self, request: Request) -> Response:
        name, reference = check_name(request.parameters["name"]), request.parameters["reference"]
        want = check_digest(reference) if ":" in reference else None
        if want is None and not is_tag(reference):
            raise RegistryError("TAG_INVALID", "this is no tag", reference[:200])
        data = request.body.read(MANIFEST_LIMIT)
        if want and digest_of(data) != want:
            raise RegistryError("DIGEST_INVALID", f"the manifest is `{digest_of(data)}`", want)
        stored = self.keep(name, data, request.header("content-type"), "" if want else reference)
        subject = (("OCI-Subject", stored.subject),) if stored.subject else ()
        return empty(201, ("Location", f"/v2/{name}/manifests/{stored.digest}"), ("Docker-Content-Digest", stored.digest), *subject)

    def keep(self, name: str, data: bytes, content_type: str, tag: str, *, complete: bool = True) -> Stored:
        """Check and store a manifest. complete: what it names has to be in the repository. Raises RegistryError."""
        document, media_type = _parse(data, content_type)
        stored = _stored(document, Digest(digest_of(data)), media_type, len(data))
        blobs, manifests = _needs(document)
        kept = self._place.put(data)
        try:
            self._ledger.add_manifest(name, stored, (*blobs, *manifests), tag, blobs=blobs if complete else (),
                                      manifests=manifests if complete else ())
        except Missing as error:
            first, *others = (Fault("MANIFEST_BLOB_UNKNOWN", "the manifest names what the repository does not have", d) for d in error.digests)
            raise RegistryError(*first, more=tuple(others)) from error
        finally:
            kept.close()
        return stored

    # ------------------------------------------------------------ delete
    def delete(self, request: Request) -> Response:
        name, reference = check_name(request.parameters["name"]), _reference(request.parameters["reference"])
        gone = self._ledger.delete_manifest(name, reference) if ":" in reference else self._ledger.delete_tag(name, reference)
        if not gone:
            raise _unknown(self._ledger, name, reference)
        return empty(202)


def _reference(text: str) -> str:
    """A digest, or what may be a tag. Raises DIGEST_INVALID; a tag that cannot exist is an unknown one."""
    return check_digest(text) if ":" in text else text


def _unknown(ledger: Ledger, name: str, reference: str) -> RegistryError:
    if not ledger.has_repository(name):
        return RegistryError("NAME_UNKNOWN", "there is no such repository", name)
    return RegistryError("MANIFEST_UNKNOWN", "the repository has no such manifest", reference[:200])


def _parse(data: bytes, content_type: str) -> "tuple[Manifest | Index, str]":
    """The document, and its media type: what the client says, else what the document says, else OCI's."""
    said = content_type.partition(";")[0].strip().lower()
    said = "" if said in _UNSAID else said
    if said and said not in _KNOWN:
        raise RegistryError("MANIFEST_INVALID", f"manifests of the type `{said[:100]}` are not supported")
    try:
        document = parse_manifest(data, "the manifest", said)
    except InvalidImage as error:
        raise RegistryError("MANIFEST_INVALID", str(error)) from error
    media_type = said or document.media_type or (OCI_INDEX if isinstance(document, Index) else OCI_MANIFEST)
    if media_type not in _KNOWN:
        raise RegistryError("MANIFEST_INVALID", f"manifests of the type `{media_type[:100]}` are not supported")
    return document, media_type


def _stored(document: "Manifest | Index", digest: Digest, media_type: str, size: int) -> Stored:
    artifact_type = document.artifact_type or (document.config.media_type if isinstance(document, Manifest) else "")
    annotations = msgspec.json.encode(document.annotations).decode() if document.annotations else ""
    return Stored(digest, media_type, size, document.subject.digest if document.subject else "", artifact_type, annotations)


def _needs(document: "Manifest | Index") -> "tuple[tuple[str, ...], tuple[str, ...]]":
    """Digests of the blobs and of the manifests that have to be there."""
    if isinstance(document, Index):
        return (), tuple(child.digest for child in document.manifests)
    return tuple(part.digest for part in (document.config, *document.layers) if not _is_elsewhere(part)), ()


def _is_elsewhere(part: Descriptor) -> bool:
    """Whether a layer is one that registries do not hold: it says where else it is to be had."""
    return bool(part.urls) and ("foreign" in part.media_type or "nondistributable" in part.media_type)
