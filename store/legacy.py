"""Archives of docker before 1.10: a chain of layers, each with a `json` of its own. In: such an archive; out: a config as they are now."""

import msgspec

from store.digest import Hasher
from store.errors import InvalidArchive
from store.oci import HistoryEntry, ImageConfig, RootFS, from_json, to_json
from store.oci import plain as plain_json

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from store.source import Source

_LIMIT = 1 << 20
_LAYERS = 200


def config_of(source: "Source", top: str) -> "tuple[bytes, list[str]]":
    """(config bytes, names of the layers' tars, bottom first) of the image whose uppermost layer is `top`."""
    chain: "list[tuple[str, dict[str, Any]]]" = []
    while top:
        if top.strip("0123456789abcdef") or len(top) != 64 or len(chain) > _LAYERS:
            raise InvalidArchive(f"`{source.what}` has a layer with a name that is none, or more than {_LAYERS} of them")
        document = plain_json(source.read(f"{top}/json", _LIMIT), f"`{top[:12]}/json` of the archive")
        if not isinstance(document, dict):
            raise InvalidArchive(f"`{source.what}` has a `{top[:12]}/json` that is no object")
        chain.insert(0, (top, document))
        top = str(document.get("parent") or "")
    last = chain[-1][1]
    files = [f"{name}/layer.tar" for name, _ in chain]
    diff_ids = []
    for file in files:
        hasher = Hasher()
        for chunk in source.chunks(file):
            hasher.update(chunk)
        diff_ids.append(hasher.digest())
    whole = _today(last)
    history = tuple(HistoryEntry(_today(item).created, " ".join(_cmd(item)), str(item.get("author") or "")) for _, item in chain)
    config = ImageConfig(architecture=whole.architecture or "amd64", os=whole.os or "linux", author=whole.author, created=whole.created,
                         config=whole.config, history=history, rootfs=RootFS(tuple(diff_ids)))
    return to_json(config), files


def _today(document: "dict[str, Any]") -> ImageConfig:
    """What of a layer's `json` is as in a config of today."""
    kept = {key: document[key] for key in ("architecture", "os", "author", "created", "config") if key in document}
    return from_json(ImageConfig, msgspec.json.encode(kept), "the config of an old image")


def _cmd(item: "dict[str, Any]") -> "list[str]":
    container = item.get("container_config")
    cmd = container.get("Cmd") if isinstance(container, dict) else None
    return [str(word) for word in cmd] if isinstance(cmd, list) else []
