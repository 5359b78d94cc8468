"""The exporter: layers go out while the build still runs, and one cache's trouble is its own."""

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from builder.cache.address import parse_address
from builder.cache.document import Record
from builder.cache.exporter import Exporter
from builder.cache.records import Exported
from builder.request import CacheAddress
from builder.solver import BuiltLayer
from store.config import Config
from store.digest import digest_of
from store.pack import diff_id
from store.registry.session import Session
from store.root import open_root
from store.store import Store
from store.tree import digest, scan


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store(open_root(str(tmp_path / "root"), str(tmp_path / "run"))) as opened:
        yield opened


def layer(store: Store, content: bytes) -> BuiltLayer:
    draft = store.snapshots.begin()
    Path(draft.directory, "file").write_bytes(content)
    tree = scan(draft.directory, owners=store.root.owners)
    snapshot = store.snapshots.commit(draft, tree=tree)
    store.snapshots.hold(snapshot)
    return BuiltLayer(digest_of(b"result" + content), digest(tree), snapshot, diff_id(tree, store.snapshots.directories(snapshot)), "2026-11-24T00:00:00Z",
                      digest_of(b"key" + content), len(content))


def exporter(store: Store, *words: str, final: frozenset[int] = frozenset()) -> Exporter:
    return Exporter(store, tuple(parse_address(word, to=True) for word in words), None, lambda: Session(Config()), final)


def exported(*layers: BuiltLayer, final: tuple[BuiltLayer, ...] = ()) -> Exported:
    records = tuple(Record(digest_of(x.key.encode()), digest_of(b"op"), x.result, digest_of(x.tree.encode()), digest_of(b"d"), x.size) for x in layers)
    records = tuple(Record(r.key, r.op, r.result, x.tree, x.diff_id, x.size) for r, x in zip(records, layers))      # type: ignore[arg-type]  # known by now
    return Exported(records, (), frozenset(str(x.diff_id) for x in final))


def await_blob(place: Path) -> Path:
    """The first blob that appears in a layout; fails if none does."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        found = [p for p in (place / "blobs/sha256").glob("*") if not p.name.startswith(".")] if place.exists() else []
        if found:
            return found[0]
        time.sleep(0.01)
    pytest.fail("nothing was sent before the build ended")


def test_a_layer_is_sent_before_the_build_ends(store: Store, tmp_path: Path) -> None:
    running = exporter(store, f"type=local,dest={tmp_path}/c,mode=max")
    try:
        running.on_layer(1, layer(store, b"one"))
        assert await_blob(tmp_path / "c").read_bytes()[:2] == b"\x1f\x8b"
        assert not (tmp_path / "c/index.json").exists()
        assert running.finish(exported(), b"")[0].error == ""
    finally:
        running.stop()


def test_mode_min_sends_the_layers_of_the_image_only(store: Store, tmp_path: Path) -> None:
    running = exporter(store, f"type=local,dest={tmp_path}/min", f"type=local,dest={tmp_path}/max,mode=max", final=frozenset((2,)))
    one, two = layer(store, b"one"), layer(store, b"two")
    try:
        running.on_layer(1, one)
        running.on_layer(2, two)
        reports = running.finish(exported(one, two, final=(two,)), b"history")
    finally:
        running.stop()
    assert [report.blobs for report in reports] == [2, 4]          # layer and config; two layers, history and config


def test_mode_min_sends_a_layer_that_a_step_before_has_made_too(store: Store, tmp_path: Path) -> None:
    running = exporter(store, f"type=local,dest={tmp_path}/max,mode=max", f"type=local,dest={tmp_path}/min,mode=min", final=frozenset({2}))
    try:
        made = layer(store, b"same")
        for index in (1, 2, 2):
            running.on_layer(index, made)
        reports = running.finish(exported(made, final=(made,)), b"")
        assert [(report.error, report.blobs) for report in reports] == [("", 2), ("", 2)]
    finally:
        running.stop()


def test_one_caches_trouble_is_its_own(store: Store, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    running = exporter(store, f"type=local,dest={tmp_path}/file,mode=max", f"type=local,dest={tmp_path}/good,mode=max")
    one = layer(store, b"one")
    try:
        running.on_layer(1, one)
        bad, good = running.finish(exported(one), b"")
    finally:
        running.stop()
    assert bad.error and not good.error and json.loads((tmp_path / "good/index.json").read_text())["manifests"]


def test_compression_is_what_was_asked_for(store: Store, tmp_path: Path) -> None:
    running = exporter(store, f"type=local,dest={tmp_path}/c,mode=max,compression=zstd")
    one = layer(store, b"one")
    try:
        running.on_layer(1, one)
        running.finish(exported(one), b"")
    finally:
        running.stop()
    assert any(path.read_bytes().startswith(b"\x28\xb5\x2f\xfd") for path in (tmp_path / "c/blobs/sha256").iterdir())


def test_stopping_leaves_no_process_and_no_document(store: Store, tmp_path: Path) -> None:
    running = exporter(store, f"type=local,dest={tmp_path}/c,mode=max")
    running.on_layer(1, layer(store, b"one"))
    running.stop()
    assert not (tmp_path / "c/index.json").exists()


def test_an_exporter_that_was_killed_is_one_error(store: Store, tmp_path: Path) -> None:
    import os
    import signal

    running = exporter(store, f"type=local,dest={tmp_path}/c,mode=max")
    try:
        child = next(iter(running._workers._workers.values()))
        os.kill(child.pid, signal.SIGKILL)
        (report,) = running.finish(exported(), b"")
    finally:
        running.stop()
    assert "killed by signal 9" in report.error


def test_address_of_a_report_is_shown_without_secrets() -> None:
    from builder.cache.address import title

    assert "hush" not in title(CacheAddress("gha", (("token", "hush"),)))
