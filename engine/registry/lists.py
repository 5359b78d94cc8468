"""Routes of lists: the repositories, their tags, what refers to a manifest. Long lists come in pages, with a Link to the next."""

from collections.abc import Callable, Sequence

import msgspec

from engine.http.message import Request, Response
from engine.http.route import Route
from engine.registry.answers import document, next_page
from engine.registry.errors import RegistryError
from engine.registry.ledger import Ledger, Stored
from engine.registry.names import check_digest, check_name, check_page_size
from store.blobs import Blobs
from store.digest import Digest
from store.errors import StoreError
from store.oci import INDEXES, MANIFEST_LIMIT, OCI_INDEX, Index, parse_manifest

_ALL = 10_000                                          # entries of an answer that nobody asked to be shorter
_REFERRERS = 500                                       # of one answer: each may have annotations, and clients read 4 MiB at most


class ListRoutes:
    def __init__(self, ledger: Ledger, blobs: Blobs) -> None:
        self._ledger, self._blobs = ledger, blobs

    def routes(self) -> "tuple[Route, ...]":
        return (Route("GET", "/v2/", self.ping, "base"), Route("GET", "/v2", self.ping, "base"), Route("GET", "/", self.ping, "root"),
                Route("GET", "/v2/_catalog", self.repositories, "catalog"), Route("GET", "/v2/{name...}/tags/list", self.tags, "tags"),
                Route("GET", "/v2/{name...}/referrers/{digest}", self.referrers, "referrers"))

    def ping(self, request: Request) -> Response:
        return document({})

    def repositories(self, request: Request) -> Response:
        size = check_page_size(request.query["n"]) if "n" in request.query else None
        names, link = _page(self._ledger.repositories(request.query.get("last", ""), (_ALL if size is None else size) + 1), size, "/v2/_catalog")
        return document({"repositories": names}, *link)

    def tags(self, request: Request) -> Response:
        name = check_name(request.parameters["name"])
        if not self._ledger.has_repository(name):
            raise RegistryError("NAME_UNKNOWN", "there is no such repository", name)
        return self.answer_tags(request, name, lambda after, limit: self._ledger.tags(name, after, limit))

    def answer_tags(self, request: Request, name: str, read: "Callable[[str, int], list[str]]") -> Response:
        """A page of tags. read: those after a tag ("" for the first), in order, at most so many."""
        size = check_page_size(request.query["n"]) if "n" in request.query else None
        tags, link = _page(read(request.query.get("last", ""), (_ALL if size is None else size) + 1), size, f"/v2/{name}/tags/list")
        return document({"name": name, "tags": tags}, *link)

    # ------------------------------------------------------------ referrers
    def referrers(self, request: Request) -> Response:
        name, digest = check_name(request.parameters["name"]), check_digest(request.parameters["digest"])
        wanted = request.query.get("artifactType", "")
        size = min(check_page_size(request.query["n"]), _REFERRERS) if "n" in request.query else _REFERRERS
        after = request.query.get("last", "")
        found = self._ledger.referrers(name, digest, wanted, after, size + 1)
        headers: "list[tuple[str, str]]" = [("OCI-Filters-Applied", "artifactType")] if wanted else []
        if len(found) > size > 0:
            found = found[:size]
            headers.append(next_page(f"/v2/{name}/referrers/{digest}", found[-1].digest, size, {"artifactType": wanted} if wanted else None))
        entries = [_entry(stored) for stored in found[:size]]
        if not after:
            known = {stored.digest for stored in found}
            entries += [entry for entry in self._fallback(name, digest, wanted) if entry["digest"] not in known]
        return answer_referrers(entries, *headers)

    def _fallback(self, name: str, subject: Digest, wanted: str) -> "list[dict[str, object]]":
        """Entries of the index that clients of registries without this route keep under the tag `sha256-<hex>`, where they are here, but not
        found by their subject."""
        stored = self._ledger.manifest(name, subject.replace(":", "-"))
        if stored is None or stored.media_type not in INDEXES:
            return []
        try:
            index = parse_manifest(self._blobs.read(stored.digest, MANIFEST_LIMIT), "the index")
        except StoreError:
            return []
        assert isinstance(index, Index)
        entries: "list[dict[str, object]]" = []
        for child in index.manifests:
            here = self._ledger.manifest(name, child.digest)
            if here is not None and here.subject != subject and (not wanted or wanted in (child.artifact_type, here.artifact_type)):
                entries.append(_entry(here))
        return entries


def answer_referrers(entries: "Sequence[object]", *headers: "tuple[str, str]") -> Response:
    """entries: descriptors, as they are to be in the index."""
    body = msgspec.json.encode({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": entries})
    return Response(200, (("Content-Type", OCI_INDEX), *headers), body)


def _entry(stored: Stored) -> "dict[str, object]":
    entry: "dict[str, object]" = {"mediaType": stored.media_type, "digest": stored.digest, "size": stored.size}
    if stored.artifact_type:
        entry["artifactType"] = stored.artifact_type
    if stored.annotations:
        entry["annotations"] = msgspec.Raw(stored.annotations.encode())
    return entry


def _page(found: "list[str]", size: "int | None", path: str) -> "tuple[list[str], tuple[tuple[str, str], ...]]":
    """Entries of one page of `found`, which has one more if there are more; and the Link to the next page then."""
    limit = _ALL if size is None else size
    if len(found) <= limit:
        return found, ()
    return found[:limit], (next_page(path, found[limit - 1], size),) if limit else ()


