"""What a client of the registry is told: a code of the distribution spec, its status, and one line of prose."""

import errno
import sqlite3

from engine.errors import EngineError, RequestFault
from kernel.value import Value

# code -> status, where there is one usual one
STATUS = {
    "BLOB_UNKNOWN": 404, "BLOB_UPLOAD_INVALID": 400, "BLOB_UPLOAD_UNKNOWN": 404, "DENIED": 403, "DIGEST_INVALID": 400,
    "MANIFEST_BLOB_UNKNOWN": 404, "MANIFEST_INVALID": 400, "MANIFEST_UNKNOWN": 404, "NAME_INVALID": 400, "NAME_UNKNOWN": 404,
    "PAGINATION_NUMBER_INVALID": 400, "RANGE_INVALID": 416, "SIZE_INVALID": 400, "TAG_INVALID": 400, "TOOMANYREQUESTS": 429,
    "UNAUTHORIZED": 401, "UNAVAILABLE": 503, "UNKNOWN": 500, "UNSUPPORTED": 405}


class Fault(Value):
    """One entry of an error body. detail: the name, digest or tag it is about."""

    code: str
    message: str
    detail: str = ""


class RegistryError(EngineError):
    """`code` is one of the distribution spec's; `headers` go with the answer."""

    def __init__(self, code: str, message: str, detail: str = "", *, status: int = 0, headers: "tuple[tuple[str, str], ...]" = (),
                 more: "tuple[Fault, ...]" = ()) -> None:
        super().__init__(code, message, detail)
        self.code, self.message, self.detail, self.headers, self.more = code, message, detail, headers, more
        self.status = status or STATUS[code]

    def __str__(self) -> str:
        return self.message

    def faults(self) -> "tuple[Fault, ...]":
        return (Fault(self.code, self.message, self.detail), *self.more)


def _is_full(error: "BaseException | None") -> bool:
    """Whether the disk is full, or a quota, whoever noticed it."""
    while error is not None:
        if (isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)) or (
                isinstance(error, sqlite3.Error) and error.sqlite_errorname == "SQLITE_FULL"):
            return True
        error = error.__cause__
    return False


def refusal(error: Exception) -> RegistryError:
    """Any exception as what the client is told: its own fault in full, ours without what is nobody's business."""
    if isinstance(error, RegistryError):
        return error
    if isinstance(error, RequestFault):
        code = {413: "SIZE_INVALID", 408: "BLOB_UPLOAD_INVALID"}.get(error.status, "UNSUPPORTED")
        return RegistryError(code, str(error), status=error.status)
    if _is_full(error):
        return RegistryError("UNAVAILABLE", "the registry has no space left", status=507)
    return RegistryError("UNKNOWN", "something went wrong in the registry; its log says what")
