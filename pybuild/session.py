"""What commands share that talk to registries: the configuration, the session, and the layers of lazily pulled images."""

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from store.images import Layer
    from store.registry.credential import Credential
    from store.registry.session import Session
    from store.store import Store


def open_session(config: "str | None", credential: "Credential | None" = None) -> "Session":
    """config: the path that `--config` gives. Raises InvalidConfig."""
    from store.config import load_config
    from store.registry.session import Session

    return Session(load_config(config), note=_say, credential=credential)


def fetch(config: "str | None", store: "Store", layers: "tuple[Layer, ...]") -> "tuple[Layer, ...]":
    """Bring layers that are absent: what `Store.fetch` is set to, but for `config`. Imports the client only when it is called."""
    from store.registry.lazy import fetcher

    with open_session(config) as session:
        return fetcher(lambda: session)(store, layers)


def _say(registry: str, text: str) -> None:
    print(f"{registry} {text}", file=sys.stderr, flush=True)
