"""Names of images: `busybox`, `registry:5000/a/b:tag@sha256:..`. In: text; out: a `Reference`, and the short form for people.

The grammar is that of the distribution project (`reference`), with docker's short names: no domain means docker.io, no path there means
`library/`. Scanned by hand: this is on the path of a fully cached build.
"""

from kernel.value import Value
from store.digest import is_digest
from store.errors import InvalidReference

_LOWER = "abcdefghijklmnopqrstuvwxyz0123456789"
_ALNUM = _LOWER + "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_HEX = "0123456789abcdef"
DEFAULT_DOMAIN = "docker.io"
DEFAULT_TAG = "latest"


class Reference(Value):
    """A name in full. At least one of `tag` and `digest` is set, unless it was parsed with `default_tag=""`."""

    domain: str             # registry, with its port
    path: str               # repository in it
    tag: str = ""
    digest: str = ""

    @property
    def name(self) -> str:
        return f"{self.domain}/{self.path}"

    def __str__(self) -> str:
        return self.name + (f":{self.tag}" if self.tag else "") + (f"@{self.digest}" if self.digest else "")

    def familiar(self) -> str:
        """The shortest form that parses to the same; a `latest` tag is kept."""
        return str(self)[len(self.name) - len(self.repository()):]

    def repository(self) -> str:
        """The name without tag and digest, in its short form."""
        if self.domain != DEFAULT_DOMAIN:
            return self.name
        first, _, rest = self.path.partition("/")
        if first == "library" and rest and "/" not in rest:
            return rest
        return self.name if _is_domain(first) else self.path


def parse_reference(text: str, default_tag: str = DEFAULT_TAG) -> Reference:
    """Raises InvalidReference, which knows the offset. A name with a digest gets no default tag."""
    name, tag, digest = _split(text)
    domain, path, start = _split_domain(text, name)
    _check_domain(text, domain)
    _check_path(text, path, start)
    if domain == "index.docker.io":
        domain = DEFAULT_DOMAIN
    if domain == DEFAULT_DOMAIN and "/" not in path:
        path = "library/" + path
    if len(domain) + len(path) + 1 > 255:
        raise InvalidReference(text, 255, "it has more than 255 characters")
    return Reference(domain, path, tag or ("" if digest else default_tag), digest)


def parse_new_name(text: str, digest: str = "") -> Reference:
    """A name that something is to get. digest: of what it is to lead to, the only one that the name may have. Raises InvalidReference."""
    reference = parse_reference(text)
    if reference.digest and reference.digest != digest:
        raise InvalidReference(text, text.index("@"), "a digest comes from the content, and cannot be given with a name")
    if reference.repository() == "sha256":
        raise InvalidReference(text, 0, "`sha256` is how digests begin, and no name for an image")
    return reference


def _split(text: str) -> "tuple[str, str, str]":
    """(name, tag, digest), tag and digest checked."""
    if not text:
        raise InvalidReference(text, 0, "it is empty")
    if "://" in text:
        raise InvalidReference(text, text.index("://"), "it is written without a scheme, and begins with the registry")
    name, at, digest = text.partition("@")
    if at:
        _check_digest(text, digest, len(name) + 1)
    head, colon, tag = name.rpartition(":")
    if not colon or "/" in tag:
        return name, "", digest
    start = len(head) + 1
    if not tag:
        raise InvalidReference(text, start, "the tag is empty")
    for i, c in enumerate(tag):
        if c not in _ALNUM and c != "_" and (i == 0 or c not in ".-"):
            raise InvalidReference(text, start + i, f"`{c}` is not possible in a tag" if i else f"a tag cannot begin with `{c}`")
    if len(tag) > 128:
        raise InvalidReference(text, start + 128, "the tag has more than 128 characters")
    return head, tag, digest


def _check_digest(text: str, digest: str, start: int) -> None:
    if is_digest(digest):
        return
    algorithm, colon, value = digest.partition(":")
    if not colon:
        raise InvalidReference(text, start, "what follows `@` is no digest")
    if algorithm != "sha256":
        raise InvalidReference(text, start, f"`{algorithm[:20]}` digests are not supported, only `sha256`")
    bad = next((i for i, c in enumerate(value) if c not in _HEX), min(len(value), 64))
    raise InvalidReference(text, start + 7 + bad, "a sha256 digest is 64 lower-case hexadecimal digits")


def _split_domain(text: str, name: str) -> "tuple[str, str, int]":
    """(domain, path, offset of the path)."""
    first, slash, rest = name.partition("/")
    if slash and _is_domain(first):
        return first, rest, len(first) + 1
    if len(name) == 64 and not name.strip(_HEX):
        raise InvalidReference(text, 0, "64 hexadecimal digits are an ID, not a name")
    return DEFAULT_DOMAIN, name, 0


def _is_domain(first: str) -> bool:
    """Whether the first part of a name is a registry: it has a dot, a port or upper case, or is `localhost`."""
    return "." in first or ":" in first or first == "localhost" or first != first.lower()


def _check_domain(text: str, domain: str) -> None:
    if domain.startswith("["):
        host, bracket, port = domain[1:].partition("]")
        if not bracket or not host or host.strip(_HEX + "ABCDEF:"):
            raise InvalidReference(text, 0, "the registry's IPv6 address is not one")
        port = port.removeprefix(":") if port.startswith(":") else port and "?"
        at = len(host) + 3
        has_port = domain[len(host) + 2:] != ""
    else:
        host, colon, port = domain.partition(":")
        at, has_port = len(host) + 1, bool(colon)
        position = 0
        for part in host.split("."):
            _check_label(text, part, position)
            position += len(part) + 1
    if has_port and (not port.isascii() or not port.isdecimal()):
        raise InvalidReference(text, at, "the registry's port is no number")


def _check_label(text: str, part: str, position: int) -> None:
    if not part:
        raise InvalidReference(text, position, "a part of the registry's name is empty")
    for i, c in enumerate(part):
        if c not in _ALNUM and (c != "-" or i in (0, len(part) - 1)):
            raise InvalidReference(text, position + i, f"`{c}` is not possible there in a registry's name")


def _check_path(text: str, path: str, start: int) -> None:
    for part in path.split("/"):
        if not part:
            raise InvalidReference(text, start, "a part of the name is empty")
        i, end = 0, len(part)
        while i < end:
            if part[i] not in _LOWER:
                raise InvalidReference(text, start + i, _why_not(part, i))
            while i < end and part[i] in _LOWER:
                i += 1
            if i == end:
                break
            i += _separator(part, i)
            if i == end:
                raise InvalidReference(text, start + i - 1, f"a part of the name cannot end with `{part[-1]}`")
        start += len(part) + 1


def _separator(part: str, i: int) -> int:
    """Length of the separator at `i`: `.`, `_`, `__` or any number of `-`; 0 if there is none."""
    if part[i] == "-":
        return len(part) - i - len(part[i:].lstrip("-"))
    if part[i] == "_":
        return 2 if part[i:i + 2] == "__" else 1
    return 1 if part[i] == "." else 0


def _why_not(part: str, i: int) -> str:
    c = part[i]
    if c != c.lower():
        return f"`{c}` is upper-case, and a repository is lower-case"
    if i == 0:
        return f"a part of the name cannot begin with `{c}`"
    return f"`{c}` is not possible there in a name"
