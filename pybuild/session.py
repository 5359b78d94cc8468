"""What commands share that talk to registries: the configuration, the session, base images for builds, layers of lazily pulled images."""

import sys
from functools import cache

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from builder.images import Pull
    from builder.progress import OnEvent
    from lang.platform import Platform
    from store.digest import Digest
    from store.images import Layer
    from store.presence import Fetch
    from store.registry.credential import Credential
    from store.registry.progress import OnProgress
    from store.registry.session import Session
    from store.store import Store


def open_session(config: "str | None", credential: "Credential | None" = None) -> "Session":
    """config: the path that `--config` gives. Raises InvalidConfig."""
    from store.config import load_config
    from store.registry.session import Session

    return Session(load_config(config), note=_say, credential=credential)


def fetcher(config: "str | None") -> "Fetch":
    """What `Store.fetch` is set to: brings layers that are absent. The client is imported when it is called."""
    def fetch(store: "Store", layers: "tuple[Layer, ...]") -> "tuple[Layer, ...]":
        from store.registry import lazy

        with open_session(config) as session:
            return lazy.fetcher(lambda: session)(store, layers)

    return fetch


def limits(config: str | None) -> "Callable[[], tuple[int, int]]":
    """How large a layer may be that is unpacked; the configuration is read when there is one."""
    @cache
    def read() -> "tuple[int, int]":
        from store.config import load_config

        return load_config(config).limits

    return read


def puller(store: "Store", config: "str | None", on_event: "OnEvent") -> "Pull":
    """How a build gets a base image that is not here: its config now, its layers when a step must read them."""
    def pull(name: str, platform: "Platform | None") -> "Digest | None":
        from builder.progress import Note
        from store.oci import Platform as Wanted
        from store.platform import local_platform
        from store.registry import pull as pulling

        wanted = Wanted(platform.architecture, platform.os, platform.os_version, None, platform.variant) if platform else None
        # another machine's image does not take the name away from this machine's
        options = pulling.Options(wanted, lazy=True, named=wanted is None or wanted == local_platform())
        with open_session(config) as session:
            pulled = pulling.pull(store, session, name, options)
        if pulled.new:
            on_event(Note("info", f"{name}: {pulled.digest}"))
        return pulled.image

    return pull


def told(on_event: "OnEvent") -> "OnProgress":
    """Transfers as notes of a build: each layer's last state."""
    from builder.progress import Note
    from store.registry import progress

    def tell(event: "progress.Progress") -> None:
        if isinstance(event, progress.Word):
            on_event(Note("info", event.text))
        elif event.state in progress.FINAL:
            on_event(Note("info", f"{event.id.removeprefix('sha256:')[:12]}: {event.state}{f' from {event.detail}' if event.detail else ''}"))

    return tell


def _say(registry: str, text: str) -> None:
    print(f"{registry} {text}", file=sys.stderr, flush=True)
