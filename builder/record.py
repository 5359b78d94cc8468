"""Finished builds, remembered whole: when nothing that a build looked at has changed, its image is found without parsing anything.

The cached path: this module and what it imports load no lang, msgspec, json, re or typing (a test looks). The record's key is what the user
asked for (Request.identity); its value says what the build looked at outside: images by name, directories by signature. A build that asked
somebody elsewhere for what may change (an address without a checksum, a branch) is not remembered: the next one asks again, as it plans.
"""

from marshal import dumps, loads

from builder.progress import CheckWarning, CheckWarnings, StepCached
from builder.request import Request, Result
from builder.signature import unchanged
from kernel.value import Value, plain
from store.digest import Digest, digest_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from builder.progress import OnEvent
    from builder.signature import Signatures
    from store.store import Store

FORMAT = 3


class BuildRecord(Value):
    """What a finished build yielded, and what it saw.

    bases: (name, image ID); contexts: (directory, signatures); labels: (number, label) of its steps; files: (path, digest) of included files;
    warnings: of the build checks, the fields of CheckWarning.
    """

    image: Digest
    bases: tuple[tuple[str, Digest], ...]
    contexts: "tuple[tuple[str, Signatures], ...]"
    labels: tuple[tuple[int, str], ...]
    files: tuple[tuple[str, Digest], ...] = ()
    warnings: tuple[tuple[str, str, str, int, int, str], ...] = ()


def key_of(request: Request) -> Digest:
    return digest_of(dumps((FORMAT, plain(request.identity())), 2))


def find(store: "Store", request: Request, on_event: "OnEvent") -> Result | None:
    """The result of the same build, if everything that it looked at is as it was. Tells of its steps as cached."""
    if request.no_cache or request.no_cache_stages or request.pull or request.explain or request.has_elsewhere:
        return None
    data = store.cache.get_build(key_of(request))
    if data is None:
        return None
    record = BuildRecord(*loads(data))
    if store.images.record(record.image) is None or not _still_true(store, record):
        return None
    for number, label in record.labels:
        on_event(StepCached(number, label))
    for name in request.names:
        store.images.tag(record.image, name)
    if record.warnings:
        on_event(CheckWarnings(request.dockerfile, tuple(CheckWarning(*fields) for fields in record.warnings)))
    return Result(record.image, request.names, len(record.labels), len(record.labels))


def _still_true(store: "Store", record: BuildRecord) -> bool:
    from builder.base.reserved import is_reserved, resolve
    from store.images import SHORT_ID

    for name, image in record.bases:
        found = store.images.resolve(name, SHORT_ID)
        if (found.id if found else resolve(store, name) if is_reserved(name) else "") != image:
            return False
    return all(_has(path, digest) for path, digest in record.files) and all(unchanged(*context) for context in record.contexts)


def _has(path: str, digest: Digest) -> bool:
    try:
        with open(path, "rb") as file:
            return digest_of(file.read()) == digest
    except OSError:
        return False


def keep(store: "Store", request: Request, record: BuildRecord) -> None:
    """Remember the build, if a later one could tell that nothing changed."""
    store.cache.put_build(key_of(request), dumps(tuple(record), 2))
