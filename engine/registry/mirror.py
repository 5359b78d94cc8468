"""A registry that has what another one has: what is asked for is fetched once, kept, and given on while it comes. In: requests; out: responses.

A tag is looked up at the upstream registry each time, by a HEAD; while that cannot be reached, what is here is given. What has a digest is never
asked for twice. Everything else (what is stored, how it is answered) is the other routes' affair.
"""

from threading import Lock, Thread

from engine.http.message import Request, Response, Stream
from engine.http.route import Route
from engine.registry.answers import empty
from engine.registry.blobs import BlobRoutes, client_has, headers_of
from engine.registry.errors import RegistryError
from engine.registry.fetch import Fetch, Reader
from engine.registry.ledger import Ledger, Stored
from engine.registry.lists import ListRoutes, answer_referrers
from engine.registry.manifests import ManifestRoutes
from engine.registry.metrics import Metrics
from engine.registry.names import check_digest, check_name, is_tag
from engine.registry.uploads import Place
from engine.registry.upstream import NotUpstream, Unreachable, Upstream
from store.digest import Digest


class Mirror:
    """The routes that ask upstream; to be tried before those that they stand for."""

    def __init__(self, upstream: Upstream, ledger: Ledger, place: Place, blobs: BlobRoutes, manifests: ManifestRoutes, lists: ListRoutes,
                 metrics: Metrics) -> None:
        self._upstream, self._ledger, self._place, self._metrics = upstream, ledger, place, metrics
        self._blobs, self._manifests, self._lists = blobs, manifests, lists
        self._lock = Lock()
        self._fetches: "dict[tuple[str, Digest], Fetch]" = {}

    def routes(self) -> "tuple[Route, ...]":
        return (Route("GET", "/v2/{name...}/manifests/{reference}", self.manifest, "manifest"),
                Route("GET", "/v2/{name...}/blobs/{digest}", self.blob, "blob"), Route("GET", "/v2/{name...}/tags/list", self.tags, "tags"),
                Route("GET", "/v2/{name...}/referrers/{digest}", self.referrers, "referrers"))

    # ------------------------------------------------------------ manifests
    def manifest(self, request: Request) -> Response:
        name, reference = check_name(request.parameters["name"]), request.parameters["reference"]
        if ":" in reference:
            check_digest(reference)
        elif not is_tag(reference):
            raise _unknown(reference)
        return self._manifests.answer(request, self._current(name, reference), fixed=":" in reference)

    def _current(self, name: str, reference: str) -> Stored:
        """What the reference leads to now."""
        here = self._ledger.manifest(name, reference)
        fixed = ":" in reference
        try:
            if here is not None and (fixed or self._upstream.head(name, reference) == here.digest):
                self._count("hits")
                return here
            found = self._upstream.manifest(name, reference)
        except NotUpstream as error:
            if here is not None:
                self._ledger.delete_tag(name, reference)
            raise _unknown(reference) from error
        except Unreachable as error:
            if here is None:
                raise _unavailable() from error
            self._count("stale")
            return here
        self._count("misses")
        return self._manifests.keep(name, found.data, found.media_type, "" if fixed else reference, complete=False)

    # ------------------------------------------------------------ blobs
    def blob(self, request: Request) -> Response:
        name, digest = check_name(request.parameters["name"]), check_digest(request.parameters["digest"])
        if client_has(request, digest):
            return empty(304, *headers_of(digest))
        size = self._ledger.blob(name, digest)
        self._count("misses" if size is None else "hits")
        try:
            if size is None and request.method == "HEAD":
                size = self._upstream.size(name, digest)
            elif size is None:
                return self._fetched(request, name, digest)
        except NotUpstream as error:
            raise RegistryError("BLOB_UNKNOWN", "the repository has no such blob", digest) from error
        except Unreachable as error:
            raise _unavailable() from error
        return self._blobs.answer(request, digest, size)

    def _fetched(self, request: Request, name: str, digest: Digest) -> Response:
        """The blob while it comes; a part of it when all has come."""
        reader = self._join(name, digest)
        try:
            size = reader.begin()
            if "range" not in request.headers:
                return Response(200, headers_of(digest), Stream(reader, size))
            reader.finish()
        except BaseException:
            reader.close()
            raise
        reader.close()
        return self._blobs.answer(request, digest, size)

    def _join(self, name: str, digest: Digest) -> Reader:
        """A reader of the fetch that is going on, or of a new one."""
        with self._lock:
            fetch = self._fetches.get((name, digest))
            if fetch is None:
                fetch = self._fetches[name, digest] = Fetch(self._upstream, self._ledger, self._place, name, digest)
                reader = fetch.reader()
                Thread(target=self._run, args=(fetch,), daemon=True).start()
                return reader
            return fetch.reader()

    def _run(self, fetch: Fetch) -> None:
        try:
            fetch.run()
        finally:
            with self._lock:
                del self._fetches[fetch.name, fetch.digest]
            fetch.leave()

    # ------------------------------------------------------------ lists
    def tags(self, request: Request) -> Response:
        name = check_name(request.parameters["name"])
        try:
            tags = sorted(set(self._upstream.tags(name)), key=_order)
        except NotUpstream as error:
            raise RegistryError("NAME_UNKNOWN", "there is no such repository", name) from error
        except Unreachable:
            self._count("stale")
            return self._lists.tags(request)
        return self._lists.answer_tags(request, name, lambda after, limit: [t for t in tags if _order(t) > _order(after)][:limit])

    def referrers(self, request: Request) -> Response:
        name, digest = check_name(request.parameters["name"]), check_digest(request.parameters["digest"])
        wanted = request.query.get("artifactType", "")
        try:
            found = self._upstream.referrers(name, digest, wanted)
        except (NotUpstream, Unreachable):
            return self._lists.referrers(request)
        return answer_referrers(found, *((("OCI-Filters-Applied", "artifactType"),) if wanted else ()))

    def _count(self, what: str) -> None:
        """what: "hits", "misses" or "stale"."""
        help = {"hits": "Answers from what was here.", "misses": "Answers for which upstream had to be asked for content.",
                "stale": "Answers from what was here, while upstream could not be reached."}[what]
        self._metrics.count(f"registry_mirror_{what}_total", help)


def _order(tag: str) -> "tuple[str, str]":
    return tag.lower(), tag


def _unknown(reference: str) -> RegistryError:
    return RegistryError("MANIFEST_UNKNOWN", "the repository has no such manifest", reference[:200])


def _unavailable() -> RegistryError:
    return RegistryError("UNAVAILABLE", "the registry that this one mirrors cannot be reached", status=502)
