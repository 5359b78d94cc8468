"""The caches that a build writes: one process beside the build packs and sends each layer as soon as its step is done. In: layers, then the records
of the finished build; out: for each cache, what was sent, or why it could not be.

Parent's side: Exporter. It never waits before `finish`. The other side: builder.cache.sending.
"""

import os
from marshal import dumps

from builder.cache.address import how_of, title
from builder.cache.sending import send_all
from builder.worker import Forked, failure
from kernel.value import Value, plain

TYPE_CHECKING = False
if TYPE_CHECKING:
    from builder.cache.depot import Sessions
    from builder.cache.imported import Imported
    from builder.cache.records import Exported
    from builder.request import CacheAddress
    from builder.solver import BuiltLayer
    from store.store import Store

_HEADER = 4


class Report(Value):
    """What became of one cache. error: "" or why it could not be written; ignored: nobody wants to fail for it. sent: bytes of new blobs."""

    cache: str
    error: str = ""
    ignored: bool = False
    blobs: int = 0
    sent: int = 0
    size: int = 0                        # bytes of all blobs of the cache


class Exporter:
    """addresses: at least one, none of them inline. final: the vertices that the image is made of: all that mode=min sends."""

    def __init__(self, store: "Store", addresses: "tuple[CacheAddress, ...]", imported: "Imported | None", sessions: "Sessions",
                 final: frozenset[int]) -> None:
        self._addresses, self._final = addresses, final
        self._every = any(how_of(address).maximal for address in addresses)
        self._told: dict[str, bool] = {}                 # diff ID -> whether it was told as one of the image's own
        self._workers = Forked()
        read, self._write = os.pipe2(os.O_CLOEXEC)
        self._workers.start(("export", 0), lambda send: send_all(store, addresses, imported, sessions, read, self._write))
        os.close(read)

    def on_layer(self, index: int, layer: "BuiltLayer") -> None:
        """A vertex has this layer."""
        final, diff_id = index in self._final, str(layer.diff_id)
        if not layer.key or not (final or self._every) or self._told.get(diff_id, False) or (diff_id in self._told and not final):
            return
        self._give(("layer", final, diff_id in self._told, tuple(layer)))    # again: an intermediate step has made just what the image has
        self._told[diff_id] = final

    def finish(self, exported: "Exported", history: bytes) -> tuple[Report, ...]:
        """Write everything; waits until that is done. history: for caches in mode=max, packed."""
        from store.oci import to_json

        records = [to_json(record) for record in exported.records]
        self._give(("end", records, exported.memos, tuple(sorted(exported.final)), history))
        while self._workers.running():
            for _, kind, payload in self._workers.wait():
                if kind == "done":
                    return tuple(Report(*fields) for fields in payload)
                if kind == "failed":
                    error = failure(payload)
                    if isinstance(error, AssertionError):
                        raise error
                    return tuple(Report(title(address), str(error), how_of(address).ignore_error) for address in self._addresses)
        raise AssertionError("the exporter ended without a word")

    def _give(self, message: "tuple[object, ...]") -> None:
        body = dumps(plain(message), 4)
        view = memoryview(len(body).to_bytes(_HEADER, "little") + body)
        try:
            while view:
                view = view[os.write(self._write, view):]
        except BrokenPipeError:
            pass                         # it is gone: `finish` hears why

    def stop(self) -> None:
        """Let go; what was not finished is left where it is, and nothing leads to it."""
        if self._write >= 0:
            os.close(self._write)
            self._write = -1
        self._workers.stop()
