"""Layers of imported records, fetched at the moment somebody needs their files. In: a chain with absent layers; out: the same, all of them here.

A layer that was fetched is recorded as if its step had run here. One that cannot be had, or is not what its record promised, is lost: the
build then plans anew without that record (LayersLost), and the step runs.
"""

from functools import partial

from builder.errors import LayersLost
from store.cache import CacheRecord
from store.crew import Crew
from store.digest import Digest
from store.errors import BlobMissing, DigestMismatch, InvalidLayer, SizeMismatch
from store.images import Layer
from store.ingest import Promise, ingest, known_layer
from store.presence import with_known
from store.room import reserve
from store.snapshots import SnapshotId
from store.tree import digest

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from builder.cache.imported import Imported, Origin
    from builder.solver import BuiltLayer, Chain
    from store.store import Store

    Say = Callable[[str], None]

_PARALLEL = 4
_UNPACKED = 3                            # a compressed layer is about a third of its files: a guess, for making room


def is_present(chain: "Chain") -> bool:
    return all(layer.snapshot for layer in chain)


def lost(chain: "Chain", imported: "Imported | None", store: "Store") -> "tuple[Digest, ...]":
    """Keys of the steps whose layers are neither here nor to be had: what is asked before anything is fetched."""
    return tuple(Digest(layer.key) for layer in chain if not layer.snapshot and layer.key
                 and (imported is None or imported.origin(layer.diff_id) is None) and known_layer(store, Digest(layer.diff_id), ()) is None)


def bring(store: "Store", chain: "Chain", imported: "Imported | None", say: "Say", base: bool = True) -> "Chain":
    """The chain with every layer in the store, held; without `base`, those of its base image stay where they are.

    Raises LayersLost, StoreError (of a base image, or no room).
    """
    if is_present(chain):
        return chain
    absent = [layer for layer in chain if not layer.snapshot and layer.key]
    gone = lost(chain, imported, store)
    if gone:
        raise LayersLost(gone, "results of a cache have no files there")
    if absent:
        assert imported is not None
        found = _fetch_all(store, tuple(absent), imported, say)
        chain = tuple(found.get(layer.key, layer) if not layer.snapshot else layer for layer in chain)
    return _with_base(store, chain, fetch=base)


def _with_base(store: "Store", chain: "Chain", fetch: bool) -> "Chain":
    """Layers of a base image of which only the config was pulled; without `fetch` those that a step has fetched meanwhile."""
    if is_present(chain):
        return chain
    asked = tuple(Layer(Digest(x.diff_id), x.tree, SnapshotId(x.snapshot), x.size) for x in chain)
    layers = store.images.present(asked) if fetch else with_known(store, asked)
    store.snapshots.hold(*(layer.snapshot for layer in layers if layer.snapshot))
    return tuple(layer._replace(snapshot=here.snapshot, size=here.size) for layer, here in zip(chain, layers))


def _fetch_all(store: "Store", layers: "tuple[BuiltLayer, ...]", imported: "Imported", say: "Say") -> "dict[str, BuiltLayer]":
    origins = {layer.key: imported.origin(layer.diff_id) for layer in layers}
    coming = [origin.blob.size for layer in layers if (origin := origins[layer.key]) and known_layer(store, Digest(layer.diff_id), ()) is None]
    if coming:
        say(f"fetches {len(coming)} layer{'s' if len(coming) > 1 else ''} from the cache, {sum(coming) / 1e6:.1f} MB")
        reserve(store, sum(coming), sum(coming) * (1 + _UNPACKED))
    with Crew(min(_PARALLEL, len(layers))) as crew:
        jobs = {layer.key: crew.submit(partial(_fetch, store, layer, imported, origins[layer.key])) for layer in layers}
    found: dict[str, BuiltLayer] = {}
    failed: dict[str, Exception] = {}
    for key, job in jobs.items():
        try:
            found[key] = job.result()
        except (LayersLost, BlobMissing, DigestMismatch, SizeMismatch, InvalidLayer) as error:
            failed[key] = error
    if failed:
        raise LayersLost(tuple(Digest(key) for key in failed), _why(*next(iter(failed.items())), origins))
    return found


def _why(key: str, error: Exception, origins: "dict[str, Origin | None]") -> str:
    origin = origins[key]
    if isinstance(error, LayersLost):
        return error.reason
    return f"the layer `{origin.blob.digest[:19]}` of a cache cannot be used: {error}" if origin is not None else str(error)


def _fetch(store: "Store", layer: "BuiltLayer", imported: "Imported", origin: "Origin | None") -> "BuiltLayer":
    from builder.cache.errors import CacheError

    key = Digest(layer.key)
    with store.cache.lock(key):
        record = store.cache.get(key)
        if record is not None and (record.tree, record.diff_id) == (layer.tree, layer.diff_id) and store.snapshots.hold(SnapshotId(record.snapshot)):
            return layer._replace(snapshot=record.snapshot, size=record.size)
        diff_id = Digest(layer.diff_id)
        here = known_layer(store, diff_id, ())
        if here is None:
            if origin is None:
                raise LayersLost((key,), "its layer is not in any cache")
            try:
                # our layers have every directory that they need in them, so that none depends on what lies below
                here = ingest(store, imported.chunks(origin), Promise(diff_id, origin.blob.digest, origin.blob.size), ())
            except CacheError as error:
                raise LayersLost((key,), str(error)) from error
        tree = digest(store.snapshots.tree(here.snapshot))
        if tree != layer.tree:
            raise DigestMismatch(Digest(layer.tree), tree)
        store.snapshots.hold(here.snapshot)
        said = imported.record(key)
        assert said is not None, "a layer without its record"
        store.cache.put(CacheRecord(key, said.op, said.result, tree, here.snapshot, diff_id, here.size, layer.created))
        return layer._replace(snapshot=here.snapshot, size=here.size)
