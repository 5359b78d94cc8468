"""A cache in GitHub's cache service (version 2), as jobs of GitHub Actions may use it: entries that never change, by key and version.

An entry is asked for with Twirp calls, and moved by signed URLs of a blob store. A manifest gets a key of its own each time; the youngest whose key
begins with the scope's is the one that counts. Source: the protocol buffers of actions/toolkit (`cache/src/generated/results/api/v1`).
"""

import os
import time
from base64 import b64encode
from urllib.parse import quote

import msgspec

from builder.cache.address import title
from builder.cache.errors import BlobGone, CacheError
from builder.cache.http import PATIENCE, Answer, Http, Missing, Part, word
from builder.errors import BuildError
from store.digest import sha256
from store.oci import MANIFEST_LIMIT, Descriptor

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import Any

    from builder.cache.depot import Depot
    from builder.cache.http import Patience
    from builder.request import CacheAddress

_SERVICE = "twirp/github.actions.results.api.v1.CacheService"
_VERSION = sha256(b"pybuild cache 1").hexdigest()
_BLOCK = 32 << 20                        # bytes of one block; a blob of up to so many is sent whole


def open_gha(address: "CacheAddress", environment: "Mapping[str, str] | None" = None, patience: "Patience" = PATIENCE) -> "GhaDepot":
    """Raises BuildError where there is no such service."""
    environment = os.environ if environment is None else environment
    url = address.option("url_v2") or environment.get("ACTIONS_RESULTS_URL") or address.option("url")
    token = address.option("token") or environment.get("ACTIONS_RUNTIME_TOKEN", "")
    if not url.startswith(("http://", "https://")) or not token:
        raise BuildError("a cache of type `gha` needs the address and the token of GitHub's cache",
                         help="they are in ACTIONS_RESULTS_URL and ACTIONS_RUNTIME_TOKEN, which GitHub gives to actions, and those to steps")
    scope = "".join(c if c.isalnum() or c in "._-" else "-" for c in address.option("scope", "buildkit"))[:200]
    return GhaDepot(title(address), url.rstrip("/"), token, scope, Http(title(address), environment, patience))


class GhaDepot:
    def __init__(self, title: str, url: str, token: str, scope: str, http: Http) -> None:
        self.title = title
        self._url, self._token, self._http = url, token, http
        self._prefix = f"pybuild-{scope}-"

    def load(self) -> "bytes | None":
        found = self._find(self._prefix, prefix=True)
        if found is None:
            return None
        answer = self._http.ask("GET", found, dict)
        if answer.status == 404:
            return None
        if answer.status != 200 or len(answer.data) > MANIFEST_LIMIT:
            raise self._refused(answer)
        return answer.data

    def keep(self, manifest: bytes) -> None:
        fd = os.memfd_create("pybuild-cache", os.MFD_CLOEXEC)
        try:
            os.write(fd, manifest)
            self._put(f"{self._prefix}{time.time_ns()}", fd, len(manifest))
        finally:
            os.close(fd)

    def has(self, blob: Descriptor) -> bool:
        return self._find(_key(blob)) is not None

    def put(self, blob: Descriptor, fd: int) -> None:
        self._put(_key(blob), fd, blob.size)

    def take(self, blob: Descriptor, other: "Depot") -> bool:
        return False

    def chunks(self, blob: Descriptor) -> "Iterator[bytes]":
        try:
            # asked for anew at each attempt: a signed URL is good for minutes only
            yield from self._http.chunks(blob.size, lambda offset: (self._find(_key(blob)) or self._gone(blob), {}))
        except Missing as error:
            raise BlobGone(self.title, blob.digest) from error

    def _gone(self, blob: Descriptor) -> str:
        raise BlobGone(self.title, blob.digest)

    # ------------------------------------------------------------ the service
    def _call(self, name: str, message: "dict[str, Any]") -> "dict[str, Any] | None":
        """The answer; None for "exists already"."""
        headers = {"Authorization": f"Bearer {self._token}", "Content-Type": "application/json"}
        answer = self._http.ask("POST", f"{self._url}/{_SERVICE}/{name}", lambda: headers, msgspec.json.encode(message))
        if answer.status == 409:
            return None
        try:
            found = msgspec.json.decode(answer.data, type=dict)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise self._refused(answer) from error
        if answer.status == 404 and name.startswith("Get"):
            return {}
        if answer.status != 200:
            raise self._refused(answer)
        return found

    def _find(self, key: str, prefix: bool = False) -> "str | None":
        """Where to download the entry from. prefix: the youngest whose key begins so."""
        answer = self._call("GetCacheEntryDownloadURL", {"key": key, "restore_keys": [key] if prefix else [], "version": _VERSION}) or {}
        url = answer.get("signed_download_url") or answer.get("signedDownloadUrl")
        matched = answer.get("matched_key") or answer.get("matchedKey") or key
        if not answer.get("ok") or not isinstance(url, str) or not isinstance(matched, str):
            return None
        if not url.startswith(("http://", "https://")):
            raise CacheError(self.title, "names a download that is no URL")
        return url if (matched.startswith(key) if prefix else matched == key) else None

    def _put(self, key: str, fd: int, size: int) -> None:
        answer = self._call("CreateCacheEntry", {"key": key, "version": _VERSION})
        if answer is None:
            return                       # somebody has just brought the same
        url = answer.get("signed_upload_url") or answer.get("signedUploadUrl")
        if not answer.get("ok") or not isinstance(url, str) or not url.startswith(("http://", "https://")):
            raise CacheError(self.title, f"takes nothing more{word(str(answer.get('message', '')).encode())}")
        self._upload(url, fd, size)
        answer = self._call("FinalizeCacheEntryUpload", {"key": key, "version": _VERSION, "size_bytes": str(size)})
        if answer is not None and not answer.get("ok"):
            raise CacheError(self.title, f"does not take what was sent{word(str(answer.get('message', '')).encode())}")

    def _upload(self, url: str, fd: int, size: int) -> None:
        """To a block blob of Azure, which is what the signed URLs lead to."""
        if size <= _BLOCK:
            self._sent(self._http.ask("PUT", url, lambda: {"x-ms-blob-type": "BlockBlob"}, Part(fd, 0, size)))
            return
        names = []
        for number, offset in enumerate(range(0, size, _BLOCK)):
            names.append(b64encode(b"%08d." % number).decode())          # nine bytes: base64 of them needs no padding
            part = Part(fd, offset, min(_BLOCK, size - offset))
            self._sent(self._http.ask("PUT", f"{_with(url)}comp=block&blockid={quote(names[-1], safe='')}", dict, part))
        blocks = "".join(f"<Latest>{name}</Latest>" for name in names)
        self._sent(self._http.ask("PUT", f"{_with(url)}comp=blocklist", lambda: {"Content-Type": "application/xml"},
                                  f'<?xml version="1.0" encoding="utf-8"?><BlockList>{blocks}</BlockList>'.encode()))

    def _sent(self, answer: Answer) -> None:
        if answer.status not in (200, 201):
            raise self._refused(answer)

    def _refused(self, answer: Answer) -> CacheError:
        return CacheError(self.title, f"says {answer.status}{word(answer.data)}")

    def close(self) -> None:
        self._http.close()


def _key(blob: Descriptor) -> str:
    return f"pybuild-blob-{blob.digest}"


def _with(url: str) -> str:
    return url + ("&" if "?" in url else "?")
