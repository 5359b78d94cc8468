"""The laws of layers, on random trees that real overlays made: as root and as a rootless user.

apply(diff(a, b), a) == b, layer by layer and byte by byte; and the view of a chain is what its mount shows.
"""

import io
import os
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings

from store.digest import Digest
from store.extract import Policy, apply
from store.images import Layer
from store.pack import write_tar
from store.root import open_root
from store.store import Store
from store.tree import digest, scan
from tests.store.changes import Change, change, layers
from tests.store.isolated import as_root, as_user, mount_overlay, unmount
from tests.store.making import essence, opened
from tests.users import User

if TYPE_CHECKING:
    from store.tree import Tree

EXAMPLES = 2000 if os.environ.get("PYBUILD_LONG") else 40


def built(store: Store, merged: str, chain: tuple[Layer, ...], steps: list[Change]) -> Layer:
    """One more layer, made by a mounted overlay."""
    draft = store.snapshots.begin()
    base = store.snapshots.begin()                       # overlay wants at least one lower directory
    lower = store.images.directories(chain) or (base.directory,)
    mount_overlay(merged, lower, draft.directory, draft.work, userxattr=store.root.userxattr)
    try:
        change(merged, steps)
    finally:
        unmount(merged)
    store.snapshots.discard(base)
    tree = scan(draft.directory)
    return Layer(Digest(""), digest(tree), store.snapshots.commit(draft, tree=tree))


def repeated(store: Store, chain: tuple[Layer, ...], tar: bytes) -> tuple[Layer, Digest]:
    """The layer unpacked from its tar, over the chain that was unpacked before it."""
    draft = store.snapshots.begin()
    fd = opened(draft.directory)
    with store.view(chain) as below:
        applied = apply([tar], fd, Policy(xattr_prefix=store.root.xattr_prefix), below)
    os.close(fd)
    tree = scan(draft.directory)
    return Layer(applied.diff_id, digest(tree), store.snapshots.commit(draft, tree=tree)), applied.diff_id


def shown(store: Store, merged: str, chain: tuple[Layer, ...]) -> "Tree":
    """What a mount of the chain shows."""
    empty = store.snapshots.begin()
    mount_overlay(merged, (*store.images.directories(chain), empty.directory), userxattr=store.root.userxattr)
    try:
        return scan(merged)
    finally:
        unmount(merged)
        store.snapshots.discard(empty)


def check(directory: str, examples: int) -> None:
    top = tempfile.mkdtemp(dir=directory)
    merged = f"{top}/merged"
    os.mkdir(merged)
    store = Store(open_root(f"{top}/store", f"{top}/run"))

    @settings(max_examples=examples, derandomize=True, deadline=None, database=None)
    @given(layers)
    def law(steps: list[list[Change]]) -> None:
        chain: tuple[Layer, ...] = ()
        copy: tuple[Layer, ...] = ()
        for layer_steps in steps:
            layer = built(store, merged, chain, layer_steps)
            tree = store.snapshots.tree(layer.snapshot)
            out = io.BytesIO()
            diff_id, size = write_tar(tree, store.snapshots.directories(layer.snapshot), out.write)
            tar = out.getvalue()
            again, digest_again = repeated(store, copy, tar)
            assert essence(store.snapshots.tree(again.snapshot)) == essence(tree)
            assert (digest_again, again.tree, len(tar)) == (diff_id, layer.tree, size)
            chain, copy = (*chain, layer), (*copy, again)
            with store.view(copy) as view:
                assert essence(unlinked(view.walk())) == essence(unlinked(shown(store, merged, chain)))

    try:
        law()
    finally:
        store.close()
        shutil.rmtree(top)


def unlinked(tree: "Tree") -> "Tree":
    """Without who shares an inode: a mount does not tell it of what lies below."""
    return {rel: [(name, (*stat[:7], 1, stat[8]), link, xattrs, content) for name, stat, link, xattrs, content in rows] for rel, rows in tree.items()}


@pytest.mark.userns
def test_layers_law_as_root(tmp_path: Path) -> None:
    if os.geteuid():
        pytest.skip("needs root")
    as_root(check, str(tmp_path), EXAMPLES)


@pytest.mark.userns
def test_layers_law_in_a_user_namespace(unprivileged: User) -> None:
    as_user(unprivileged, check, str(unprivileged.directory(unprivileged.home / "layers")), EXAMPLES)
