"""What differs between two images, and what does not count."""

import os
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from hypothesis import given, settings

from store.comparing import Change, changes, compare
from store.store import Store
from store.tree import scan
from tests.store.changes import change
from tests.store.changes import layers as random_layers
from tests.store.making import config_of, image_of, layer_of
from tests.users import needs_root


def kinds(found: tuple[Change, ...]) -> list[tuple[str, str]]:
    return [(c.kind, c.path) for c in found]


def test_added_changed_and_deleted_files(store: Store) -> None:
    first = image_of(store, {"etc/same": b"1", "etc/other": b"1", "gone/deep/file": b"1"})
    second = image_of(store, {"etc/same": b"1", "etc/other": b"2", "new/file": b"1"})
    assert kinds(compare(store, first, second)) == [
        ("C", "/etc/other"), ("D", "/gone"), ("D", "/gone/deep"), ("D", "/gone/deep/file"), ("A", "/new"), ("A", "/new/file")]


def test_images_of_other_layers_with_the_same_files_do_not_differ(store: Store) -> None:
    first = image_of(store, {"a": b"1"}, {"b": b"2"})
    second = image_of(store, {"a": b"old", "b": b"2"}, {"a": b"1"})
    assert compare(store, first, second) == ()


def test_whiteout_of_an_upper_layer_is_a_deletion(store: Store) -> None:
    def delete(directory: Path) -> None:
        os.mknod(directory / "a", 0o20000, 0)

    base = image_of(store, {"a": b"1", "b": b"1"})
    layers = (*store.images.layers(base), layer_of(store, delete))
    image = store.images.add(config_of(layers), layers)
    assert kinds(compare(store, base, image)) == [("D", "/a")]


def test_what_changed_is_said(store: Store) -> None:
    def fill(mode: int, target: str) -> Any:
        def write(directory: Path) -> None:
            (directory / "f").write_bytes(b"1")
            (directory / "f").chmod(mode)
            (directory / "l").symlink_to(target)
        return write

    images = []
    for mode, target in ((0o644, "a"), (0o755, "b")):
        layer = layer_of(store, fill(mode, target))
        images.append(store.images.add(config_of((layer,)), (layer,)))
    assert compare(store, images[0], images[1]) == (
        Change("C", "/f", (("mode", "0644", "0755"),)), Change("C", "/l", (("target", "a", "b"),)))


def test_file_that_becomes_a_directory_is_changed_and_filled(store: Store) -> None:
    first, second = image_of(store, {"a": b"1"}), image_of(store, {"a/b": b"1"})
    assert kinds(compare(store, first, second)) == [("C", "/a"), ("A", "/a/b")]


@needs_root
@settings(max_examples=15)
@given(random_layers)
def test_nothing_differs_from_itself_and_deletions_mirror_additions(layers: Any) -> None:
    with TemporaryDirectory() as one, TemporaryDirectory() as two:
        change(one, layers[0])
        change(two, layers[-1])
        a, b = scan(one), scan(two)
        assert list(changes(a, a)) == []
        there, back = list(changes(a, b)), list(changes(b, a))
        mirrored = {"A": "D", "D": "A", "C": "C"}
        assert sorted((mirrored[c.kind], c.path) for c in there) == sorted((c.kind, c.path) for c in back)
