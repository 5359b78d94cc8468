"""Addresses of files: taken apart, joined where a server sends us on, and shown without passwords. Pure."""

from urllib.parse import unquote, urljoin, urlsplit

from builder.remote.errors import BadAddress
from kernel.value import Value

SCHEMES = ("http", "https")
_PORTS = {"http": 80, "https": 443}


class Address(Value):
    """An http(s) URL in parts. host: in small letters; target: path and query as they go into the request."""

    scheme: str
    host: str
    port: int
    target: str
    user: str = ""
    password: str = ""

    @property
    def origin(self) -> tuple[str, str, int]:
        """Who is asked: what is meant for one origin is told to no other."""
        return self.scheme, self.host, self.port

    @property
    def authority(self) -> str:
        """host, or host:port where the port is not the scheme's own."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _PORTS[self.scheme] else f"{host}:{self.port}"

    @property
    def url(self) -> str:
        """To be fetched: without user, password and fragment."""
        return f"{self.scheme}://{self.authority}{self.target}"


def parse_address(text: str) -> Address:
    """Raises BadAddress for what is no http(s) URL."""
    if any(ord(c) < 32 or ord(c) == 127 for c in text):
        raise BadAddress(shown(text), "it has control characters")
    try:
        parts = urlsplit(text)
        host, port = parts.hostname or "", parts.port
    except ValueError as error:
        raise BadAddress(shown(text), str(error).lower()) from error
    scheme = parts.scheme.lower()
    if scheme not in SCHEMES:
        raise BadAddress(shown(text), f"files come by http and https, not by `{scheme}`")
    if not host:
        raise BadAddress(shown(text), "it names no host")
    target = (parts.path or "/").replace(" ", "%20") + (f"?{parts.query}" if parts.query else "")
    return Address(scheme, host, port or _PORTS[scheme], target, unquote(parts.username or ""), unquote(parts.password or ""))


def file_name(address: Address) -> str:
    """What a download is called: the last part of the path."""
    name = unquote(address.target.partition("?")[0]).rstrip("/").rpartition("/")[2]
    return name if name not in ("", ".", "..") else "__unnamed__"


def follow(address: Address, location: str) -> Address:
    """Where a redirect leads. Raises BadAddress: another scheme than http(s), no URL. A user and password in it are not taken."""
    return parse_address(urljoin(address.url, location.strip()))._replace(user="", password="")


def shown(text: str) -> str:
    """A URL or git remote as messages show it: no password; nor a user, which with http may be a token."""
    text = "".join(c if c.isprintable() else "\ufffd" for c in text)
    scheme, separator, rest = text.partition("://")
    if not separator:
        return text
    authority, slash, path = rest.partition("/")
    user, at, host = authority.rpartition("@")
    if at and (scheme.lower() in SCHEMES or ":" in user):
        user = user.partition(":")[0] + "@" if scheme.lower() not in SCHEMES else ""
        authority = user + host
    return f"{scheme}://{authority}{slash}{path}"
