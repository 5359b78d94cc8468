"""Blobs on their way to a registry, by the distribution spec's upload sessions. In: bytes that can be read again; out: a blob it acknowledged.

In one piece where the registry takes it; what broke off goes on where the registry says it ended; in small pieces for one that takes no large ones;
as a stream for bytes that are still being made.
"""

import os

from store.digest import Digest, digest_of
from store.registry.connection import Trouble
from store.registry.download import Cancelled
from store.registry.errors import NotInRegistry, RegistryBroken, RegistryError
from store.registry.progress import UPLOADING, Transfer

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from urllib3 import BaseHTTPResponse

    from store.registry.progress import OnProgress
    from store.registry.repository import Repository
    from store.trail import Trail

_CHUNK = 1 << 20
_PIECE = 8 << 20                         # bytes of a piece for a registry that finds the whole too large
_OCTETS = {"Content-Type": "application/octet-stream"}


class Rejected(Exception):
    """The registry takes no streams: the blob has to be sent as a file."""


class Uploads:
    """Uploads to one repository. Safe from several threads."""

    def __init__(self, repository: "Repository", on_progress: "OnProgress") -> None:
        self._repository, self._on_progress = repository, on_progress
        self._connection = repository.home
        self._piecewise = False          # whether the registry has found something too large
        self._cancelled = False

    def cancel(self) -> None:
        """Let everything that is being sent end with Cancelled."""
        self._cancelled = True

    def _alive(self) -> None:
        if self._cancelled:
            raise Cancelled

    # ------------------------------------------------------------ beginning
    def mount(self, digest: Digest, path: str) -> str:
        """Ask for the blob of another repository (`path`) of the same registry. "" if it is there now, else where to upload it to."""
        response = self._post(f"?mount={digest}&from={path}", self._repository.scopes(path))
        self._close(response)
        if response.status == 201:
            return ""
        if response.status == 202:
            return self._connection.location(response)
        raise self._repository.refused(self._connection, response)

    def begin(self) -> str:
        """Where to upload to."""
        response = self._post("", self._repository.scopes())
        if response.status != 202:
            raise self._repository.refused(self._connection, response)
        self._close(response)
        return self._connection.location(response)

    def _post(self, query: str, scopes: "tuple[str, ...]") -> "BaseHTTPResponse":
        return self._connection.request("POST", f"/{self._repository.path}/blobs/uploads/{query}", scopes=scopes)

    def abandon(self, location: str) -> None:
        """Say that nothing more comes. Nobody minds if that fails."""
        try:
            self._close(self._connection.request("DELETE", location, scopes=self._repository.scopes(), patient=False))
        except (Trouble, RegistryError):
            pass

    # ------------------------------------------------------------ from a file
    def put(self, digest: Digest, size: int, fd: int, shown: str, location: str = "") -> None:
        """Upload `size` bytes of the open file. shown: its name in progress, "" for none; location: of a session that was begun already.

        Raises RegistryError.
        """
        attempt = 0
        patience = self._connection.patience
        offset = best = 0
        while True:
            try:
                if not location:
                    location, offset = self.begin(), 0
                if self._piecewise:
                    location = self._pieces(location, size, fd, offset, shown)
                    offset = size
                self._rest(location, digest, size, fd, offset, shown)
                return
            except Trouble as trouble:
                attempt += 1
                location, offset = self._resume(location)
                if offset > best:
                    best, attempt = offset, 1            # it moves
                if self._connection.gives_up(attempt, trouble):
                    raise trouble.error from trouble.__cause__
                self._connection.pause(attempt, trouble)
            except _TooLarge as error:
                if self._piecewise:
                    raise error.error from error
                self._piecewise, location = True, ""
            except NotInRegistry:                        # the session is gone
                attempt += 1
                if attempt >= patience.attempts:
                    raise
                location = ""

    def put_bytes(self, data: bytes) -> Digest:
        """Upload something small. Raises RegistryError."""
        digest = digest_of(data)
        attempt = 0
        while True:
            attempt += 1
            try:
                response = self._connection.request("PUT", _with_digest(self.begin(), digest), scopes=self._repository.scopes(), headers=_OCTETS,
                                                    body=data, patient=False)
                if response.status not in (201, 204):
                    raise self._refused(response)
                self._close(response)
                return digest
            except Trouble as trouble:
                if self._connection.gives_up(attempt, trouble):
                    raise trouble.error from trouble.__cause__
                self._connection.pause(attempt, trouble)
            except _TooLarge as error:
                raise error.error from error

    def _rest(self, location: str, digest: Digest, size: int, fd: int, offset: int, shown: str) -> None:
        """Send what is left and close the session."""
        if offset and offset < size:
            location = self._patch(location, fd, offset, size, size, shown)
            offset = size
        response = self._connection.request("PUT", _with_digest(location, digest), scopes=self._repository.scopes(), headers=_OCTETS,
                                            body=self._body(fd, offset, size, size, shown), length=size - offset, patient=False)
        if response.status not in (201, 204):
            raise self._refused(response)
        self._close(response)

    def _pieces(self, location: str, size: int, fd: int, offset: int, shown: str) -> str:
        while offset < size:
            end = min(offset + _PIECE, size)
            location = self._patch(location, fd, offset, end, size, shown)
            offset = end
        return location

    def _patch(self, location: str, fd: int, offset: int, end: int, size: int, shown: str) -> str:
        """Send the bytes from offset to end; where it goes on."""
        response = self._connection.request(
            "PATCH", location, scopes=self._repository.scopes(), headers={**_OCTETS, "Content-Range": f"{offset}-{end - 1}"},
            body=self._body(fd, offset, end, size, shown), length=end - offset, patient=False)
        if response.status not in (202, 201, 204):
            raise self._refused(response)
        self._close(response)
        return self._connection.location(response, location)

    def _resume(self, location: str) -> "tuple[str, int]":
        """(where the session goes on, bytes that the registry has); ("", 0) if it has to be begun anew."""
        if not location:
            return "", 0
        try:
            response = self._connection.request("GET", location, scopes=self._repository.scopes(), patient=False)
        except (Trouble, RegistryError):
            return "", 0
        self._close(response)
        begin, dash, end = response.headers.get("Range", "").strip().removeprefix("bytes=").partition("-")
        if response.status != 204 or begin != "0" or not dash or not end.isdecimal():
            return "", 0
        has = int(end) + 1 if int(end) else 0            # "0-0" is how an empty one is told
        return (self._connection.location(response, location) if response.headers.get("Location") else location), has

    def _body(self, fd: int, offset: int, end: int, size: int, shown: str) -> "Callable[[], Iterator[bytes]]":
        def body() -> "Iterator[bytes]":
            at = offset
            while at < end:
                data = os.pread(fd, min(_CHUNK, end - at), at)
                if not data:
                    raise RegistryBroken(self._repository.domain, "would get a blob that has become shorter on the disk")
                at += len(data)
                self._alive()
                yield data
                if shown:
                    self._on_progress(Transfer(shown, UPLOADING, at, size))
        return body

    # ------------------------------------------------------------ while it is made
    def stream(self, trail: "Trail", shown: str) -> str:
        """Upload what is written while it is written; where the session is to be closed (`close`).

        Raises Rejected, Trouble, and what `trail` does.
        """
        location = self.begin()

        def body() -> "Iterator[bytes]":
            done = 0
            for data in trail.chunks():
                done += len(data)
                self._alive()
                yield data
                self._on_progress(Transfer(shown, UPLOADING, done))

        response = self._connection.request("PATCH", location, scopes=self._repository.scopes(), headers=_OCTETS, body=body, patient=False)
        self._close(response)
        if response.status != 202:
            self.abandon(location)
            raise Rejected
        return self._connection.location(response, location)

    def close(self, location: str, digest: Digest) -> None:
        """Raises Rejected where the registry has not got what it was to get."""
        response = self._connection.request("PUT", _with_digest(location, digest), scopes=self._repository.scopes(), headers=_OCTETS, patient=False)
        self._close(response)
        if response.status not in (201, 204):
            raise Rejected

    # ------------------------------------------------------------ answers
    def _refused(self, response: "BaseHTTPResponse") -> Exception:
        status = response.status
        error = self._repository.refused(self._connection, response)
        if status == 413:
            return _TooLarge(error)
        if status == 416:
            return Trouble(error)
        return error

    def _close(self, response: "BaseHTTPResponse") -> None:
        self._connection.drop(response)


class _TooLarge(Exception):
    def __init__(self, error: RegistryError) -> None:
        super().__init__(str(error))
        self.error = error


def _with_digest(location: str, digest: Digest) -> str:
    return f"{location}{'&' if '?' in location else '?'}digest={digest}"
