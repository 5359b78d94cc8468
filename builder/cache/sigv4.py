"""AWS Signature Version 4, for requests to S3: pure. In: a request and who asks; out: the headers that sign it.

Source: AWS documentation, "Authenticating Requests: Using the Authorization Header (AWS Signature Version 4)".
"""

import hmac
import time
from hashlib import sha256
from urllib.parse import quote, urlsplit

from kernel.value import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

EMPTY = sha256(b"").hexdigest()
_ALGORITHM, _SERVICE = "AWS4-HMAC-SHA256", "s3"


class Identity(Value):
    """Who asks. token: of temporary credentials, or ""."""

    key_id: str
    secret: str
    token: str = ""


def encode_path(path: str) -> str:
    """A key as it stands in a URL: S3 wants it encoded once, slashes left."""
    return quote(path, safe="/-_.~")


def sign(method: str, url: str, region: str, identity: Identity, payload: str, now: "float | None" = None,
         extra: "Mapping[str, str] | None" = None) -> "dict[str, str]":
    """Headers of the request. url: with an encoded path and no query; payload: sha256 of the body in hexadecimal; now: seconds since the epoch."""
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(now))
    date, parts = stamp[:8], urlsplit(url)
    headers = {"host": parts.netloc, "x-amz-content-sha256": payload, "x-amz-date": stamp, **{k.lower(): v for k, v in (extra or {}).items()}}
    if identity.token:
        headers["x-amz-security-token"] = identity.token
    names = ";".join(sorted(headers))
    lines = "".join(f"{name}:{' '.join(headers[name].split())}\n" for name in sorted(headers))
    request = f"{method}\n{parts.path or '/'}\n{parts.query}\n{lines}\n{names}\n{payload}"
    scope = f"{date}/{region}/{_SERVICE}/aws4_request"
    text = f"{_ALGORITHM}\n{stamp}\n{scope}\n{sha256(request.encode()).hexdigest()}"
    key = f"AWS4{identity.secret}".encode()
    for part in (date, region, _SERVICE, "aws4_request"):
        key = hmac.digest(key, part.encode(), "sha256")
    signature = hmac.digest(key, text.encode(), "sha256").hex()
    del headers["host"]                  # the connection sends it
    return {**headers, "authorization": f"{_ALGORITHM} Credential={identity.key_id}/{scope}, SignedHeaders={names}, Signature={signature}"}
