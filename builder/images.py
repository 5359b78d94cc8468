"""Base images: a name in a Dockerfile -> what the graph begins from. The store's own, one made from this machine, or none."""

from builder.cachekey import image_result
from builder.errors import BuildError, ImageMissing
from builder.lower import Base
from builder.solver import BuiltLayer
from lang.config import Health, Settings
from lang.platform import Platform
from store.digest import Digest
from store.errors import StoreError
from store.images import SHORT_ID
from store.machine import local_platform_words

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from builder.progress import OnEvent
    from store.images import ImageRecord
    from store.oci import ContainerConfig
    from store.store import Store

    Pull = Callable[[str, "Platform | None"], Digest | None]


_OFFLINE = "`FROM host/base` and `FROM host/python` need no registry; `pybuild load -i FILE` reads an archive"


class BaseImages:
    """Resolves each name once. pull: fetches an image that is not here (None: there is no registry client to ask); newer: and one that is."""

    def __init__(self, store: "Store", on_event: "OnEvent", pull: "Pull | None" = None, newer: bool = False) -> None:
        self._store, self._on_event, self._pull, self._newer = store, on_event, pull, newer
        self._found: dict[tuple[str, str], Base] = {}

    def __call__(self, name: str, platform: "Platform | None") -> Base:
        """Raises ImageMissing, StoreError."""
        key = (name, str(platform or ""))
        base = self._found.get(key)
        if base is None:
            image = self.resolve(name, platform)
            if not self._store.images.keep(image):       # a collection was faster than we
                image = self.resolve(name, platform)
            base = self._found[key] = self._base(name, image)
        return base

    def known(self, name: str) -> Base | None:
        """What was asked for before, for whatever platform; None if it was not."""
        return next((base for (asked, _), base in self._found.items() if asked == name), None)

    def resolve(self, name: str, platform: "Platform | None") -> Digest:
        """ID of the image. A real image of that name comes before a reserved name of this machine's own."""
        from builder.base.reserved import is_reserved
        from builder.base.reserved import resolve as resolve_reserved

        if name.startswith("oci-layout://"):
            from builder.remote.layout import load_layout

            return load_layout(self._store, name, platform)
        record = self._store.images.resolve(name, SHORT_ID)      # `COPY --from=b` means no image whose ID happens to begin so
        here = record.id if record is not None and (platform is None or _fits(record, platform)) else None
        if here is not None and (not self._newer or self._pull is None or is_reserved(name) or _is_id(name)):
            return here
        if is_reserved(name):
            own = Platform(*local_platform_words().split("/")[:2])
            if platform is not None and (platform.os, platform.architecture) != (own.os, own.architecture):
                raise BuildError(f"`{name}` is made of this machine's files, and so for {own}, not for {platform}")
            return resolve_reserved(self._store, name, self._on_event)
        what = f"{name} for {platform}" if record is not None else name
        try:
            pulled = self._pull(name, platform) if self._pull is not None else None
        except StoreError as error:
            if here is not None:                         # it is only not known whether there is a newer one
                raise
            raise ImageMissing(what, getattr(error, "help", "") or _OFFLINE, str(error)) from error
        if pulled is None:
            raise ImageMissing(what, _OFFLINE)
        return pulled

    def _base(self, name: str, image: Digest) -> Base:
        store = self._store
        config = store.images.config(image)
        chain: tuple[BuiltLayer, ...] = ()
        diff_ids: tuple[Digest, ...] = ()
        for layer in store.images.layers(image):
            diff_ids += (layer.diff_id,)
            chain += (BuiltLayer(image_result(diff_ids), layer.tree, layer.snapshot, layer.diff_id, config.created or "", "", layer.size),)
        store.snapshots.hold(*(layer.snapshot for layer in store.images.layers(image) if layer.snapshot))      # others are absent: pulled lazily
        platform = Platform(config.os, config.architecture, config.variant, config.os_version)
        return Base(name, image, settings_of(config.config, config.author), chain, image_result(diff_ids), config.history or (), platform)


def _is_id(name: str) -> bool:
    return name.startswith("sha256:") or (len(name) == 64 and not name.strip("0123456789abcdef"))


def _fits(record: "ImageRecord", platform: Platform) -> bool:
    """Whether an image of the store is for the wanted platform; a variant that is not said is any."""
    words = record.platform.split("/")
    wanted = [platform.os, platform.architecture, platform.variant]
    return words[:2] == wanted[:2] and (len(words) < 3 or not wanted[2] or words[2] == wanted[2])


def settings_of(config: "ContainerConfig | None", author: str = "") -> Settings:
    """The part of an image's config that a Dockerfile goes on from."""
    if config is None:
        return Settings(author=author)
    health = config.healthcheck
    check = None
    if health is not None:
        check = Health(health.test or (), health.interval, health.timeout, health.start_period, health.start_interval, health.retries)
    pairs = tuple(entry.partition("=") for entry in config.env or ())
    return Settings(
        env=tuple((name, value) for name, _, value in pairs), user=config.user, working_dir=config.working_dir, cmd=config.cmd,
        entrypoint=config.entrypoint, shell=config.shell, labels=tuple((config.labels or {}).items()),
        exposed_ports=tuple(sorted(config.exposed_ports or ())), volumes=tuple(sorted(config.volumes or ())), stop_signal=config.stop_signal,
        healthcheck=check, on_build=config.on_build or (), author=author)
