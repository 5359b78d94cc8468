"""What can be wrong with a store, what is in it, or what is put into it: facts as attributes, prose in `__str__`."""


class StoreError(Exception):
    """The root of this room's errors. `help` is one line with the way out, or ""."""

    help = ""


class StoreUnusable(StoreError):
    """The directory cannot hold a store: `reason` says why."""

    def __init__(self, path: str, reason: str, help: str = "") -> None:
        super().__init__(path, reason)
        self.path, self.reason, self.help = path, reason, help

    def __str__(self) -> str:
        return f"the store `{self.path}` {self.reason}"


class StoreTooNew(StoreUnusable):
    """The directory was written by a later version of this program."""

    def __init__(self, path: str, version: int, ours: int) -> None:
        reason = f"has format {version}, and this program knows formats up to {ours}"
        super().__init__(path, reason, "use a newer version, or name another store with --root")
        self.version = version


class IndexDamaged(StoreError):
    """The index (SQLite) cannot be read or written."""

    help = "`pybuild fsck --repair` makes a new index of what is stored"

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(path, reason)
        self.path, self.reason = path, reason

    def __str__(self) -> str:
        return f"the index `{self.path}` cannot be used: {self.reason}"


class IndexHasNoRoom(IndexDamaged):
    """The disk is full, and so the index cannot be read or written. Nothing is wrong with it."""

    help = "remove files of your own until there is room; then `pybuild prune` and `pyup down` can remove more"

    def __str__(self) -> str:
        return f"the disk is full: the index `{self.path}` cannot be used ({self.reason})"


class InvalidDigest(StoreError):
    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.text = text

    def __str__(self) -> str:
        return f"`{self.text[:100]}` is no digest (sha256: and 64 hexadecimal digits)"


class InvalidReference(StoreError):
    """`position` is the str offset in `text` at which it stops being an image name."""

    def __init__(self, text: str, position: int, reason: str) -> None:
        super().__init__(text, position, reason)
        self.text, self.position, self.reason = text, position, reason

    def __str__(self) -> str:
        return f"`{self.text[:300]}` is no image name: {self.reason}"


class InvalidPlatform(StoreError):
    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.text = text

    def __str__(self) -> str:
        return f"`{self.text[:100]}` is no platform (such as linux/amd64 or linux/arm/v7)"


class ReferenceMissing(StoreError):
    """No image of this name or ID is in the store."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.name = name

    def __str__(self) -> str:
        return f"no image `{self.name}` in the store"


class PlatformMissing(ReferenceMissing):
    """A name that leads to an image, or to several, none of which is for the platform."""

    help = "`pybuild pull --platform` fetches one, if the registry has it"

    def __init__(self, name: str, platform: str) -> None:
        super().__init__(name)
        self.platform = platform

    def __str__(self) -> str:
        return f"the image `{self.name}` that is in the store is not for {self.platform}"


class ReferenceAmbiguous(StoreError):
    """A shortened ID that several images begin with."""

    def __init__(self, name: str, ids: "tuple[str, ...]") -> None:
        super().__init__(name, ids)
        self.name, self.ids = name, ids

    def __str__(self) -> str:
        return f"`{self.name}` is the beginning of {len(self.ids)} image IDs"


class ImageInUse(StoreError):
    """The image cannot be removed: `users` are containers, or other names."""

    def __init__(self, name: str, users: "tuple[str, ...]", help: str = "") -> None:
        super().__init__(name, users)
        self.name, self.users, self.help = name, users, help

    def __str__(self) -> str:
        return f"image `{self.name}` is used by {', '.join(f'`{u}`' for u in self.users)}"


class BlobMissing(StoreError):
    def __init__(self, digest: str) -> None:
        super().__init__(digest)
        self.digest = digest

    def __str__(self) -> str:
        return f"`{self.digest}` is not in the store"


class SnapshotMissing(StoreError):
    def __init__(self, snapshot: str) -> None:
        super().__init__(snapshot)
        self.snapshot = snapshot

    def __str__(self) -> str:
        return f"snapshot `{self.snapshot}` is not in the store"


class DigestMismatch(StoreError):
    """Bytes that were promised under one digest have another; nothing of them is kept."""

    def __init__(self, want: str, got: str) -> None:
        super().__init__(want, got)
        self.want, self.got = want, got

    def __str__(self) -> str:
        return f"the content promised as `{self.want}` is `{self.got}`"


class DiskFull(StoreError):
    """What cannot be written, as the kernel says it."""

    def __str__(self) -> str:
        return f"cannot write to the store: {self.args[0]}"


class SizeMismatch(StoreError):
    """Bytes that were promised in one number came in another."""

    def __init__(self, digest: str, want: int, got: int) -> None:
        super().__init__(digest, want, got)
        self.digest, self.want, self.got = digest, want, got

    def __str__(self) -> str:
        return f"`{self.digest}` was promised with {self.want} bytes and has {'more' if self.got > self.want else self.got}"


class InvalidImage(StoreError):
    """A manifest, index or config that is not what the OCI image spec says; `what` names it."""

    def __init__(self, what: str, reason: str) -> None:
        super().__init__(what, reason)
        self.what, self.reason = what, reason

    def __str__(self) -> str:
        return f"{self.what} is not valid: {self.reason}"


class InvalidLayer(StoreError):
    """A layer tar that is damaged, hostile, or too large; `name` is the entry, "" if it is the stream itself."""

    def __init__(self, reason: str, name: str = "") -> None:
        super().__init__(reason, name)
        self.reason, self.name = reason, name

    def __str__(self) -> str:
        return f"the entry `{self.name[:300]}` of the archive {self.reason}" if self.name else f"the archive {self.reason}"


class InvalidArchive(StoreError):
    """A file given to load that is no image archive."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason

    def __str__(self) -> str:
        return f"the image archive {self.reason}"
