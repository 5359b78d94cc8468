"""The registry as one handler: request -> access -> route -> response. In: a store and settings; out: what `engine.http.server.Server` serves."""

from engine.http.message import Done, Request, Response
from engine.http.route import Route, Router
from engine.registry.access import Access
from engine.registry.answers import ALWAYS, error_answer, unknown_path
from engine.registry.blobs import BlobRoutes
from engine.registry.collection import Collected, Keeping, collect
from engine.registry.errors import RegistryError
from engine.registry.ledger import Ledger
from engine.registry.lists import ListRoutes
from engine.registry.manifests import ManifestRoutes
from engine.registry.metrics import Metrics
from engine.registry.pushes import PushRoutes
from engine.registry.uploads import Place, Uploads
from store.store import Store

TYPE_CHECKING = False
if TYPE_CHECKING:
    from engine.registry.upstream import Upstream


class Registry:
    """One registry over one store. Close it when the server has ended."""

    def __init__(self, store: Store, access: "Access | None" = None, keeping: "Keeping | None" = None, upstream: "Upstream | None" = None) -> None:
        """upstream: be a mirror of it, which nobody pushes to."""
        self._store, self._keeping = store, keeping or Keeping()
        self._access = access or Access(read_only=upstream is not None)
        self.ledger = Ledger(f"{store.root.path}/registry.db")
        place = Place(store.root)
        self.uploads = Uploads(place)
        self.metrics = Metrics()
        lists, blobs, manifests = ListRoutes(self.ledger, store.blobs), BlobRoutes(self.ledger, store.blobs), ManifestRoutes(
            self.ledger, store.blobs, place)
        pushes = PushRoutes(self.ledger, self.uploads)
        mirrored: "tuple[Route, ...]" = ()
        if upstream is not None:
            from engine.registry.mirror import Mirror

            mirrored = Mirror(upstream, self.ledger, place, blobs, manifests, lists, self.metrics).routes()
        self._router = Router((*pushes.routes(), *mirrored, *lists.routes(), *blobs.routes(), *manifests.routes(), *self._access.routes(),
                               Route("GET", "/metrics", self.show_metrics, "metrics")))
        self._add_gauges()

    def handle(self, request: Request) -> Response:
        """Raises what `on_error` turns into an answer."""
        route = self._router.find(request)
        self._access.check(request)
        if route is None:
            if allowed := self._router.allowed(request.path):
                raise RegistryError("UNSUPPORTED", "that cannot be done with what is at this path", headers=(("Allow", ", ".join(allowed)),))
            raise unknown_path()
        response = route(request)
        return response._replace(headers=(*ALWAYS, *response.headers))

    @staticmethod
    def on_error(request: "Request | None", error: Exception) -> Response:
        return error_answer(request, error)

    def note(self, done: Done) -> None:
        self.metrics.note(done)

    def show_metrics(self, request: Request) -> Response:
        return Response(200, (("Content-Type", "text/plain; version=0.0.4; charset=utf-8"),), self.metrics.page().encode())

    def collect(self) -> Collected:
        """Remove what nobody needs, now."""
        done = collect(self._store, self.ledger, self.uploads, self._keeping)
        self.metrics.count("registry_collected_blobs_total", "Blobs that collections have removed.", len(done.removed))
        self.metrics.count("registry_collected_bytes_total", "Bytes that collections have freed.", done.bytes)
        return done

    def close(self) -> None:
        self.uploads.close()
        self.ledger.close()

    def _add_gauges(self) -> None:
        gauge, counts = self.metrics.gauge, self.ledger.counts
        gauge("registry_uploads_open", "Uploads that are going on.", lambda: len(self.uploads))
        gauge("registry_repositories", "Repositories.", lambda: counts()[0])
        gauge("registry_tags", "Tags.", lambda: counts()[1])
        gauge("registry_manifests", "Manifests, each once.", lambda: counts()[2])
        gauge("registry_blobs", "Blobs, each once.", lambda: counts()[3])
        gauge("registry_blobs_bytes", "Bytes of the blobs, each once.", lambda: counts()[4])
