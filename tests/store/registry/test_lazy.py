"""Lazily pulled images: nothing is fetched until something must be read, and then once."""

import os
from pathlib import Path

import pytest

from store.archivewriter import save
from store.digest import Digest
from store.gc import Budget, collect, sweep
from store.images import Layer
from store.presence import LayerAbsent
from store.registry.errors import NotInRegistry
from store.registry.lazy import fetcher
from store.registry.pull import Options, pull
from store.registry.push import push
from store.registry.session import Session
from store.root import open_root
from store.store import Store
from tests.store.making import config_of, layer_of, member, tar_of
from tests.store.registry.conftest import Sessions
from tests.store.registry.fake import FakeRegistry, digest_of

ONE = tar_of(member("etc/hostname", content=b"box"))
TWO = tar_of(member("etc/motd", content=b"x" * 100_000))


def lazily(store: Store, session: Session, registry: FakeRegistry, name: str = "app:1") -> Digest:
    registry.image("app", "1", ONE, TWO)
    store.fetch = fetcher(lambda: session)
    return pull(store, session, f"{registry.host}/{name}", Options(lazy=True)).image


def blobs_asked(registry: FakeRegistry) -> list[str]:
    return [a.path for a in registry.asked("GET", "/blobs/") if digest_of(ONE) in a.path or digest_of(TWO) in a.path]


def test_lazy_pull_fetches_no_layer(store: Store, session: Session, registry: FakeRegistry) -> None:
    image = lazily(store, session, registry)
    assert blobs_asked(registry) == [] and not store.images.is_complete(image)
    assert store.images.config(image).diff_ids == (digest_of(ONE), digest_of(TWO))
    assert store.images.require(f"{registry.host}/app:1").id == image


def test_looking_at_the_files_fetches_the_layers(store: Store, session: Session, registry: FakeRegistry) -> None:
    image = lazily(store, session, registry)
    with store.view(store.images.layers(image)) as view:
        assert view.read("etc/hostname", 10) == b"box"
    assert len(blobs_asked(registry)) == 2


def test_starting_a_container_fetches_the_layers_once(store: Store, session: Session, registry: FakeRegistry) -> None:
    image = lazily(store, session, registry)
    for _ in range(2):
        runtime = store.images.use(image)
        assert len(runtime.lowerdirs) == 2 and all(os.path.isdir(directory) for directory in runtime.lowerdirs)
    assert len(blobs_asked(registry)) == 2 and store.images.is_complete(image)


def test_saving_fetches_the_layers(store: Store, session: Session, registry: FakeRegistry) -> None:
    lazily(store, session, registry)
    parts: list[bytes] = []
    save(store, (f"{registry.host}/app:1",), lambda data: parts.append(bytes(data)))
    assert ONE in b"".join(parts)


def test_image_on_top_of_absent_layers_is_kept_and_completed(store: Store, session: Session, registry: FakeRegistry) -> None:
    """What a build makes that only changes the config, or adds a layer."""
    base = lazily(store, session, registry)
    layers = (*store.images.layers(base), layer_of(store, {"new": b"1"}))
    image = store.images.add(config_of(layers), layers, ("built",))
    assert blobs_asked(registry) == []
    store.images.complete(image)
    with store.view(store.images.layers(image)) as view:
        assert (view.read("new", 10), view.read("etc/hostname", 10)) == (b"1", b"box")
    store.images.complete(base)
    assert len(blobs_asked(registry)) == 2


def test_layers_that_another_image_brought_are_not_fetched(store: Store, session: Session, registry: FakeRegistry) -> None:
    image = lazily(store, session, registry)
    pull(store, session, f"{registry.host}/app:1")
    registry.log.clear()
    store.images.complete(image)
    assert registry.log == []


def test_later_pull_completes_the_image(store: Store, session: Session, registry: FakeRegistry) -> None:
    image = lazily(store, session, registry)
    assert pull(store, session, f"{registry.host}/app:1").image == image
    assert store.images.is_complete(image) and len(store.images.use(image).lowerdirs) == 2


def test_lazy_pull_of_a_complete_image_changes_nothing(store: Store, session: Session, registry: FakeRegistry) -> None:
    image = lazily(store, session, registry)
    store.images.complete(image)
    pull(store, session, f"{registry.host}/app:1", Options(lazy=True))
    assert store.images.is_complete(image)


def test_without_a_network_absent_layers_are_one_clear_error(store: Store, session: Session, registry: FakeRegistry) -> None:
    image = lazily(store, session, registry)
    store.fetch = None
    with pytest.raises(LayerAbsent, match="is not in the store"):
        store.images.use(image)


def test_absent_layers_survive_a_restart_and_a_collection(store: Store, session: Session, registry: FakeRegistry) -> None:
    image = lazily(store, session, registry)
    store.close()
    with Store(open_root(store.root.path, store.root.run)) as again:
        sweep(again)
        collect(again, Budget(everything=True))
        again.fetch = fetcher(lambda: session)
        assert len(again.images.use(image).lowerdirs) == 2


def test_layers_come_from_another_repository_when_the_first_forgot_them(store: Store, session: Session, registry: FakeRegistry) -> None:
    image = lazily(store, session, registry)
    registry.image("copy", "1", ONE, TWO)
    pull(store, session, f"{registry.host}/copy:1", Options(lazy=True))
    del registry.blobs["copy"][digest_of(TWO)]
    assert len(store.images.complete(image)) == 2


def test_layers_that_are_nowhere_are_one_clear_error(store: Store, session: Session, registry: FakeRegistry) -> None:
    image = lazily(store, session, registry)
    registry.blobs.clear()
    with pytest.raises((NotInRegistry, LayerAbsent)):
        store.images.complete(image)


def test_two_processes_fetch_once(store: Store, sessions: Sessions, registry: FakeRegistry) -> None:
    image = lazily(store, sessions(), registry)
    pids = []
    for _ in range(3):
        pid = os.fork()
        if not pid:
            try:
                with Store(open_root(store.root.path, store.root.run)) as mine:
                    mine.fetch = fetcher(sessions)
                    mine.images.use(image)
                os._exit(0)
            finally:
                os._exit(1)
        pids.append(pid)
    assert [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in pids] == [0, 0, 0]
    assert len(blobs_asked(registry)) == 2


# ---------------------------------------------------------------- pushing what is not here
def test_push_within_a_registry_fetches_nothing(store: Store, session: Session, registry: FakeRegistry) -> None:
    image = lazily(store, session, registry)
    store.images.tag(image, f"{registry.host}/mine:1")
    push(store, session, f"{registry.host}/mine:1")
    assert blobs_asked(registry) == [] and registry.manifests["mine"]["1"] == registry.manifests["app"]["1"]


def test_built_on_top_is_pushed_with_the_base_mounted(store: Store, session: Session, registry: FakeRegistry) -> None:
    base = lazily(store, session, registry)
    layers = (*store.images.layers(base), layer_of(store, {"new": b"1"}))
    store.images.add(config_of(layers), layers, (f"{registry.host}/mine:1",))
    push(store, session, f"{registry.host}/mine:1")
    assert blobs_asked(registry) == []
    assert {digest_of(ONE), digest_of(TWO)} < set(registry.blobs["mine"])


def test_push_elsewhere_fetches_the_blobs_as_they_are(store: Store, session: Session, registry: FakeRegistry, tmp_path: Path) -> None:
    base = lazily(store, session, registry)
    layers = (*store.images.layers(base), layer_of(store, {"new": b"1"}))
    with FakeRegistry() as elsewhere:
        store.images.add(config_of(layers), layers, (f"{elsewhere.host}/mine:1",))
        push(store, session, f"{elsewhere.host}/mine:1")
        assert {digest_of(ONE), digest_of(TWO)} < set(elsewhere.blobs["mine"])
    assert isinstance(store.images.layers(base)[0], Layer) and store.images.layers(base)[0].snapshot == ""
