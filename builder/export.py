"""From finished layers to an image: config and history as docker writes them, put into the store.

Image ID = config digest. `created` of each history entry is its layer's; entries without a layer take that of the next one below.
"""

from msgspec.structs import replace

from builder.epoch import now, stamp
from builder.filesteps import as_layers
from builder.lower import HistoryLine
from store.digest import Digest
from store.oci import ContainerConfig, Healthcheck, HistoryEntry, ImageConfig, RootFS, to_json

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from builder.lower import Lowered
    from builder.request import Request
    from builder.solver import Chain
    from lang.config import Settings
    from lang.platform import Platform
    from store.store import Store

COMMENT = "buildkit.dockerfile.v0"


def image_config(settings: "Settings", platform: "Platform", chain: "Chain", history: "tuple[HistoryEntry, ...]", created: str) -> bytes:
    """The bytes whose digest is the image's ID."""
    config = ImageConfig(
        architecture=platform.architecture, variant=platform.variant, os=platform.os, os_version=platform.os_version, author=settings.author,
        created=created, config=container_config(settings), rootfs=RootFS(tuple(Digest(layer.diff_id) for layer in chain)), history=history)
    return to_json(config)


def container_config(settings: "Settings") -> ContainerConfig:
    health = settings.healthcheck
    return ContainerConfig(
        user=settings.user, env=tuple(f"{k}={v}" for k, v in settings.env), cmd=settings.cmd, entrypoint=settings.entrypoint,
        working_dir=settings.working_dir, labels=dict(settings.labels) or None, exposed_ports={port: {} for port in settings.exposed_ports} or None,
        volumes={path: {} for path in settings.volumes} or None, stop_signal=settings.stop_signal, shell=settings.shell,
        on_build=settings.on_build or None, healthcheck=Healthcheck(*health) if health else None)


def history_entries(lines: "tuple[HistoryEntry | HistoryLine, ...]", chains: "Mapping[int, Chain]", fallback: str) -> tuple[HistoryEntry, ...]:
    """History with times: an entry of this build takes its layer's, one without a layer that of the entry before it."""
    found: list[HistoryEntry] = []
    first = next((chains[x.vertex][-1].created for x in lines if isinstance(x, HistoryLine) and x.vertex >= 0 and chains[x.vertex]), fallback)
    time = first
    for line in lines:
        if isinstance(line, HistoryLine):
            if line.vertex >= 0:
                time = chains[line.vertex][-1].created
            found.append(HistoryEntry(created=time, created_by=line.created_by, comment=COMMENT, empty_layer=line.vertex < 0))
        else:
            found.append(line)
    return tuple(found)


def squashed_history(lines: "tuple[HistoryEntry | HistoryLine, ...]", entries: tuple[HistoryEntry, ...]) -> tuple[HistoryEntry, ...]:
    """The same entries with one layer for all of this build's: that of the last one that made any."""
    own = [number for number, line in enumerate(lines) if isinstance(line, HistoryLine) and line.vertex >= 0]
    return tuple(replace(entry, empty_layer=True) if number in own[:-1] else entry for number, entry in enumerate(entries))


def export(store: "Store", request: "Request", lowered: "Lowered", chains: "Mapping[int, Chain]",
           extend: "Callable[[bytes], bytes] | None" = None) -> Digest:
    """Put the target's image into the store, under the request's names; its ID. extend: puts more into its config."""
    chain = chains[lowered.graph.target]
    labels = dict(lowered.settings.labels) | dict(request.labels)
    settings = lowered.settings._replace(labels=tuple(labels.items()))
    history = history_entries(lowered.history, chains, now() if lowered.epoch is None else stamp(lowered.epoch))
    if request.squashes:
        history = squashed_history(lowered.history, history)
    created = max((entry.created for line, entry in zip(lowered.history, history) if isinstance(line, HistoryLine) and entry.created), default="")
    if not created:                                      # nothing but FROM: as old as its base
        created = next((e.created for e in reversed(history) if e.created), None) or now()
    config = image_config(settings, lowered.platform, chain, history, created)
    if extend is not None:
        config = extend(config)
    return store.images.add(config, as_layers(chain), request.names)
