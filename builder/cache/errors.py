"""What can go wrong with a cache elsewhere. Facts as attributes; a build goes on without a cache that it cannot read."""

from builder.errors import BuildError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from store.digest import Digest


class CacheError(BuildError):
    """A cache elsewhere cannot be read or written. `cache` is its address, for people."""

    def __init__(self, cache: str, reason: str, help: str = "") -> None:
        super().__init__(f"the cache `{cache}` {reason}", help=help)
        self.cache, self.reason = cache, reason


class InvalidCache(CacheError):
    """What is there is no cache, or one that nobody should use."""

    def __init__(self, cache: str, reason: str) -> None:
        super().__init__(cache, f"cannot be used: {reason}")


class BlobGone(CacheError):
    """A blob that a cache names is not there (any more), or is not what it was."""

    def __init__(self, cache: str, digest: "Digest", reason: str = "is not there any more") -> None:
        super().__init__(cache, f"names the blob `{digest[:19]}`, which {reason}")
        self.digest = digest
