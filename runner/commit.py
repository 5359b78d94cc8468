"""An image of what a container has become: its image's layers, its own writable layer as one more, and its settings as the config."""

import os
import time

from msgspec.structs import replace

from runner.changes import is_stub
from runner.container import Process, process_of
from runner.layercopy import copy_layer
from runner.moment import time_text
from runner.upkeep import RUNNING
from store.images import Layer
from store.oci import ContainerConfig, Healthcheck, HistoryEntry, ImageConfig, RootFS, to_json
from store.pack import diff_id
from store.tree import digest, scan, size_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from runner.container import Container
    from runner.engine import Engine
    from store.digest import Digest


def commit(engine: "Engine", container: "Container", name: str = "", *, author: str = "", message: str = "", pause: bool = True,
           change: "Callable[[ImageConfig], ImageConfig]" = lambda config: config) -> "Digest":
    """The new image's ID. pause: the container stands still while it is copied. change: what else is to be different in the config.

    Raises RunError, StoreError, what `change` raises.
    """
    engine.require_layer(container)
    store = engine.store
    base = store.images.config(container.image_id)
    changed = change(replace(base, config=_config(container), author=author or base.author))
    layer = _layer(engine, container, pause)
    now = time_text(time.time_ns())
    entry = HistoryEntry(created=now, created_by=" ".join(process_of(container.spec, container.runtime).argv), author=author, comment=message)
    config = replace(changed, created=now, rootfs=RootFS((*base.diff_ids, layer.diff_id)), history=(*(base.history or ()), entry))
    image = store.images.add(to_json(config), (*store.images.layers(container.image_id), layer), (name,) if name else ())
    store.events.emit("container", "commit", container.id, {"comment": message, "imageID": image, "name": container.name})
    return image


def _layer(engine: "Engine", container: "Container", pause: bool) -> Layer:
    store, place = engine.store, engine.place(container.id)
    frozen = pause and engine.state(container).status == RUNNING
    if frozen:
        engine.pause(container)
    draft = store.snapshots.begin(like=place.fs)
    try:
        source, target = (os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC) for path in (place.fs, draft.directory))
        try:
            copy_layer(source, target, lambda path: is_stub(path, container, place.fs))
        finally:
            os.close(source)
            os.close(target)
    except BaseException:
        store.snapshots.discard(draft)
        raise
    finally:
        if frozen:
            engine.unpause(container)
    tree = scan(draft.directory, owners=store.root.owners)
    diff = diff_id(tree, (draft.directory,))
    snapshot = store.snapshots.commit(draft, tree=tree)
    store.leases.current().hold("snapshot", snapshot)
    return Layer(diff, digest(tree), snapshot, size_of(tree))


def _config(container: "Container") -> ContainerConfig:
    """What the container was started with, as what the next ones begin with."""
    process: Process = process_of(container.spec, container.runtime)
    check = process.healthcheck
    health = Healthcheck(check.test, check.interval, check.timeout, check.start_period, check.start_interval, check.retries) if check else None
    return ContainerConfig(
        user=process.user, exposed_ports={port: {} for port in process.exposed} or None, env=process.env or None, cmd=process.cmd or None,
        healthcheck=health,
        volumes={mount.target: {} for mount in container.spec.mounts if mount.kind == "volume"} or None,
        working_dir=container.spec.working_dir or container.runtime.cwd, entrypoint=process.entrypoint or None, labels=dict(process.labels) or None,
        stop_signal=container.spec.stop_signal or container.runtime.stop_signal,
        stop_timeout=process.stop_timeout if container.spec.stop_timeout >= 0 or container.runtime.stop_timeout >= 0 else None)
