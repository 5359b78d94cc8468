"""`pybuild inspect`: an image as one JSON document with docker's field names."""

from pybuild.option import FLAG, VALUE, Operand, Option, Usage
from pybuild.place import open_store
from pybuild.scanner import Options

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from store.digest import Digest
    from store.store import Store

USAGE = Usage("Show all there is to know of images.", "pybuild inspect --format '{{.Config.Entrypoint}}' guestbook",
              (Operand("images", "+", "names or IDs"),),
              (Option("-f --format", VALUE, "json, or a Go template run on each image", "FORMAT"),
               Option("--platform", VALUE, "of a name that leads to an index, which image of it", "OS/ARCH"),
               Option("--type", VALUE, "for habits: images are all there is here", "TYPE", choices=("image",), hidden=True),
               Option("-s --size", FLAG, "for habits: sizes are always shown", hidden=True)))

_ABSENT = ("Entrypoint", "Cmd", "Env", "OnBuild", "Shell"), ("Labels", "ExposedPorts", "Volumes", "Healthcheck"), ("User", "WorkingDir", "StopSignal")


def main(options: Options) -> int:
    from pybuild.output.errors import report
    from pybuild.output.listing import show_one
    from store.errors import StoreError

    status, found = 0, []
    with open_store(options) as store:
        for name in options.images:
            try:
                found.append(document(store, _image(store, name, options.platform)))
            except StoreError as error:                  # the others are shown all the same
                status = report(error)
    if options.format in (None, "", "json"):
        print(show_one(found, options.format))
    else:
        for value in found:
            print(show_one(_as_go(value), options.format))
    return status


def _image(store: "Store", name: str, platform: "str | None") -> "Digest":
    """Raises StoreError."""
    record = store.images.require(name)
    if not platform:
        return record.id
    from store.platform import parse_platform
    from store.variants import variant

    return variant(store, name, parse_platform(platform))


def _as_go(value: "dict[str, Any]") -> "dict[str, Any]":
    """With what a template may name although this image has nothing there."""
    from pybuild.output.template import NoList, NoMap, NoText

    lists, maps, texts = _ABSENT
    config = value["Config"]
    empty = {**{k: NoList() for k in lists}, **{k: NoMap() for k in maps}, **{k: NoText() for k in texts}}
    return {"Variant": NoText(), **value, "Config": {**empty, **{k: v for k, v in config.items() if v is not None}}}


def document(store: "Store", image: str) -> "dict[str, Any]":
    """What `docker image inspect` shows, as far as there is such a thing here."""
    import json

    from store.digest import Digest
    from store.reference import parse_reference

    record = store.images.record(Digest(image))
    assert record is not None, "the image was there a moment ago"
    config = json.loads(store.images.config_bytes(record.id))
    names = [parse_reference(name) for name in record.names]
    digests = {f"{n.repository()}@{d}" for n, stored in zip(names, record.names) if (d := n.digest or store.images.target(stored))}
    layers = store.images.layers(record.id)
    value = {
        "Id": record.id, "RepoTags": [n.familiar() for n in names if not n.digest], "RepoDigests": sorted(digests), "Parent": "",
        "Comment": (config.get("history") or [{}])[-1].get("comment", ""), "Created": config.get("created"),
        "DockerVersion": config.get("docker_version", ""), "Author": config.get("author", ""),
        "Config": config.get("config") or {}, "Architecture": config.get("architecture", ""), "Variant": config.get("variant", ""),
        "Os": config.get("os", ""), "Size": record.size, "VirtualSize": record.size,
        "GraphDriver": {"Name": "overlay2", "Data": {"LowerDir": ":".join(store.images.lowerdirs(record.id))}},
        "RootFS": {"Type": "layers", "Layers": [layer.diff_id for layer in layers]}, "Metadata": {"LastTagTime": "0001-01-01T00:00:00Z"}}
    if not value["Variant"]:
        del value["Variant"]
    return value
