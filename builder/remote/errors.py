"""What can go wrong with files from elsewhere; facts as attributes. Addresses in messages have no password in them."""

from builder.errors import BuildError


class RemoteError(BuildError):
    """What a Dockerfile or a command line takes from elsewhere cannot be had."""


class BadAddress(RemoteError):
    """Something that looks like an address and is none."""

    def __init__(self, address: str, reason: str, help: str = "") -> None:
        super().__init__(f"`{address}` is no address that can be fetched: {reason}", help=help)
        self.address = address
        self.reason = reason


class DownloadFailed(RemoteError):
    """A server cannot be reached, or does not give the file. status: of its answer, 0 if there was none."""

    def __init__(self, address: str, reason: str, *, status: int = 0, help: str = "") -> None:
        super().__init__(f"cannot download `{address}`: {reason}", help=help)
        self.address = address
        self.reason = reason
        self.status = status


class ChecksumMismatch(RemoteError):
    """What came is not what `--checksum` says."""

    def __init__(self, address: str, want: str, got: str) -> None:
        super().__init__(f"`{address}` is {got}, and its checksum says {want}")
        self.address = address
        self.want = want
        self.got = got


class GitFailed(RemoteError):
    """git ended badly; `reason` is what it said last."""

    def __init__(self, address: str, reason: str, help: str = "") -> None:
        super().__init__(f"cannot fetch the git repository `{address}`: {reason}", help=help)
        self.address = address
        self.reason = reason


class GitMissing(RemoteError):
    """There is no git program to run."""

    def __init__(self, address: str) -> None:
        super().__init__(f"the git repository `{address}` cannot be fetched: git is not installed on this machine", help="install the package `git`")
        self.address = address


class RefMissing(RemoteError):
    """The repository has no branch, tag or commit of that name."""

    def __init__(self, address: str, ref: str, help: str = "") -> None:
        super().__init__(f"the git repository `{address}` has no branch or tag `{ref}`", help=help)
        self.address = address
        self.ref = ref


class DirectoryMissing(RemoteError):
    """The commit has no directory where one is wanted."""

    def __init__(self, address: str, path: str, reason: str) -> None:
        super().__init__(f"`{path}` {reason} in the git repository `{address}`")
        self.address = address
        self.path = path


class NotAContext(RemoteError):
    """What was given as a build context is neither an archive nor a Dockerfile, or cannot be taken in. `what` names it."""

    def __init__(self, what: str, reason: str, help: str = "") -> None:
        super().__init__(f"{what} {reason}", help=help)
        self.what = what
        self.reason = reason


class BadNamedContext(RemoteError):
    """The value of a --build-context that nothing can be made of."""

    def __init__(self, name: str, value: str, reason: str, help: str = "") -> None:
        super().__init__(f"the named context `{name}` is `{value}`, {reason}", help=help)
        self.name = name
        self.value = value
        self.reason = reason


class BadLayout(RemoteError):
    """An OCI layout that is none, or has not the image that is wanted."""

    def __init__(self, path: str, reason: str, help: str = "") -> None:
        super().__init__(f"the OCI layout `{path}` {reason}", help=help)
        self.path = path
        self.reason = reason
