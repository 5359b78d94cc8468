"""What a tag leads to, asked without the client: of a registry of this machine, or one that is asked in plain http. In: an endpoint; out: a `Head`.

The client costs 30 ms to import, which is most of a push or a pull of what is there already. This asks one question on one connection and
understands one answer, a plain yes. For everything else (no, who are you, elsewhere, TLS, silence) it knows nothing, and the client asks again.
"""

import _socket

from kernel.value import Value
from store.digest import Digest, is_digest
from store.mediatype import DOCKER_INDEX, DOCKER_MANIFEST, OCI_INDEX, OCI_MANIFEST
from store.registry.proxy import is_loopback, proxy_for

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from store.registry.endpoint import Endpoint

ACCEPT = ", ".join((OCI_INDEX, DOCKER_INDEX, OCI_MANIFEST, DOCKER_MANIFEST))
AGENT = "pybuild"
_LIMIT = 1 << 16                         # bytes of an answer's head
_PATIENCE_S = 5.0


class Head(Value):
    """What a registry says about a manifest without sending it."""

    digest: Digest
    media_type: str
    size: int


def glance(endpoint: "Endpoint", path: str, reference: str, environment: "Mapping[str, str]") -> "Head | None":
    """path: of the repository; reference: a tag or digest in it. None: nothing is known."""
    from store.registry.endpoint import host_of, port_of

    host, port = host_of(endpoint.host), port_of(endpoint.host, "http")
    # an insecure registry elsewhere may speak TLS: then nothing may be asked in clear
    if endpoint.headers or not (endpoint.scheme == "http" or (not endpoint.scheme and is_loopback(host))):
        return None
    if proxy_for("http", host, port, environment):
        return None
    question = (f"HEAD {endpoint.path}/{path}/manifests/{reference} HTTP/1.1\r\nHost: {endpoint.host}\r\nUser-Agent: {AGENT}\r\nAccept: {ACCEPT}\r\n"
                "Connection: close\r\n\r\n")
    try:
        return parse_head(_ask(host.strip("[]").encode("ascii"), port, question.encode("ascii")))
    except (OSError, UnicodeError):
        return None


def _ask(host: bytes, port: int, question: bytes) -> bytes:
    """The head of the answer, or as much of it as came."""
    # a name in bytes: one in text has the codec of international names imported
    family, kind, protocol, _, address = _socket.getaddrinfo(host, port, 0, _socket.SOCK_STREAM)[0]
    socket = _socket.socket(family, kind, protocol)
    try:
        socket.settimeout(_PATIENCE_S)
        socket.connect(address)
        socket.sendall(question)
        answer = b""
        while b"\r\n\r\n" not in answer and len(answer) < _LIMIT and (data := socket.recv(_LIMIT)):
            answer += data
        return answer
    finally:
        socket.close()


def parse_head(answer: bytes) -> "Head | None":
    """Of the head of an HTTP/1 answer; None for all but a whole one that says yes and which manifest it is."""
    head, end, _ = answer.partition(b"\r\n\r\n")
    status, *lines = head.decode("latin-1").split("\r\n")
    words = status.split(" ")
    if not end or not words[0].startswith("HTTP/1.") or words[1:2] != ["200"]:
        return None
    fields: "dict[str, str]" = {}
    for line in lines:
        name, colon, value = line.partition(":")
        if not colon or name != name.strip() or name.lower() in fields:
            return None
        fields[name.lower()] = value.strip()
    digest, size = fields.get("docker-content-digest", ""), fields.get("content-length", "")
    return Head(Digest(digest), media_type_of(fields.get("content-type", "")), int(size)) if is_digest(digest) and _is_size(size) else None


def media_type_of(content_type: str) -> str:
    """Of a manifest; "" where it is a general type, as some registries send."""
    kind = content_type.partition(";")[0].strip().lower()
    return kind if kind.startswith("application/vnd.") else ""


def _is_size(text: str) -> bool:
    return text.isascii() and text.isdecimal() and len(text) < 19
