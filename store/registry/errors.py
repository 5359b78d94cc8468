"""What can go wrong with a registry: facts as attributes, prose in `__str__`. What a registry says is shown without control characters."""

from store.errors import StoreError


class RegistryError(StoreError):
    """A registry cannot be asked, or does not do what it is asked. `registry` is its name as in image names."""

    def __init__(self, registry: str, reason: str, help: str = "") -> None:
        super().__init__(registry, reason)
        self.registry, self.reason, self.help = registry, reason, help

    def __str__(self) -> str:
        return f"the registry `{self.registry}` {self.reason}"


class RegistryUnreachable(RegistryError):
    """No answer, or none that is HTTP: name, network, proxy, TLS."""


class RegistryBroken(RegistryError):
    """An answer that is not what the distribution spec says."""


class RegistryBlocked(RegistryError):
    """The configuration forbids it."""

    def __init__(self, registry: str) -> None:
        super().__init__(registry, "is blocked by the configuration")


class RegistryRefused(RegistryError):
    """An answer that says no. status: of HTTP; code: the distribution spec's, or ""."""

    def __init__(self, registry: str, status: int, code: str, message: str, help: str = "") -> None:
        super().__init__(registry, f"says {status}{f' {code}' if code else ''}{f': {message}' if message else ''}", help)
        self.status, self.code, self.message = status, code, message


class AccessDenied(RegistryError):
    """It wants to know who is asking, or knows and does not let him. what: a repository, or "" for the registry as such."""

    def __init__(self, registry: str, what: str, reason: str, help: str = "") -> None:
        super().__init__(registry, f"denies access{f' to `{what}`' if what else ''}{f': {reason}' if reason else ''}",
                         help or f"`pybuild login {'' if registry == 'docker.io' else registry}".rstrip() + "` tells it who you are")
        self.what = what


class NotInRegistry(RegistryError):
    """The registry has no such image, manifest or blob."""

    def __init__(self, registry: str, what: str, help: str = "") -> None:
        super().__init__(registry, f"has no `{what}`", help)
        self.what = what


class NoPlatform(StoreError):
    """An index that has nothing for the wanted platform."""

    def __init__(self, name: str, wanted: str, available: "tuple[str, ...]") -> None:
        super().__init__(name, wanted, available)
        self.name, self.wanted, self.available = name, wanted, available
        self.help = f"it has {', '.join(available)}" if available else ""

    def __str__(self) -> str:
        return f"`{self.name}` has no image for {self.wanted}"


class InvalidCredentials(StoreError):
    """A file or a helper with credentials that cannot be used. source: the file or program."""

    def __init__(self, source: str, reason: str, help: str = "") -> None:
        super().__init__(source, reason)
        self.source, self.reason, self.help = source, reason, help

    def __str__(self) -> str:
        return f"`{self.source}` {self.reason}"


class Unsigned(StoreError):
    """The configuration wants a signature, and there is none that counts."""

    def __init__(self, name: str, digest: str, reason: str) -> None:
        super().__init__(name, digest, reason)
        self.name, self.digest, self.reason = name, digest, reason

    def __str__(self) -> str:
        return f"`{self.name}` ({self.digest[:19]}) is not trusted: {self.reason}"


def printable(text: str, limit: int = 300) -> str:
    """Text of a stranger, made harmless for a terminal and short."""
    return "".join(c if c.isprintable() else " " for c in text[:limit]).strip()
