"""Things that tests put into a store: layers of a few files, configs, images, hostile tars."""

import io
import os
import tarfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from store.digest import Digest
from store.images import Layer
from store.oci import ContainerConfig, ImageConfig, RootFS, to_json
from store.pack import diff_id
from store.store import Store
from store.tree import digest, is_whiteout, scan, size_of

if TYPE_CHECKING:
    from store.tree import Row, Tree


def layer_of(store: Store, fill: "Callable[[Path], None] | dict[str, bytes]") -> Layer:
    """A committed layer; fill: writes into the directory, or path -> content."""
    draft = store.snapshots.begin()
    if callable(fill):
        fill(Path(draft.directory))
    else:
        write_files(Path(draft.directory), fill)
    tree = scan(draft.directory, owners=store.root.owners)
    diff = diff_id(tree, (draft.directory,))
    return Layer(diff, digest(tree), store.snapshots.commit(draft, tree=tree), size_of(tree))


def write_files(top: Path, files: dict[str, bytes]) -> None:
    for name, content in files.items():
        path = top / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def config_of(layers: Iterable[Layer], **config: object) -> bytes:
    return to_json(ImageConfig(architecture="amd64", os="linux", created="2026-01-02T03:04:05Z", config=ContainerConfig(**config),  # type: ignore[arg-type]
                               rootfs=RootFS(tuple(layer.diff_id for layer in layers))))


def image_of(store: Store, *fills: dict[str, bytes], names: tuple[str, ...] = (), **config: object) -> Digest:
    """An image of one layer a dict, bottom first."""
    layers = tuple(layer_of(store, fill) for fill in fills)
    return store.images.add(config_of(layers, **config), layers, names)


def tar_of(*members: tuple[tarfile.TarInfo, bytes], form: int = tarfile.PAX_FORMAT) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=form) as tar:
        for info, content in members:
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return out.getvalue()


def member(name: str, kind: bytes = tarfile.REGTYPE, content: bytes = b"", link: str = "", **fields: object) -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(name)
    info.type = kind
    info.linkname = link
    info.mode = 0o755 if kind == tarfile.DIRTYPE else 0o644
    for key, value in fields.items():
        setattr(info, key, value)
    return info, content


def essence(tree: "Tree") -> dict[str, tuple[object, ...]]:
    """What of a tree is content: path -> type and mode, size of files, owner, device, link, attributes, digest; and who shares an inode."""
    found: dict[str, tuple[object, ...]] = {}
    first: dict[int, str] = {}
    for rel in sorted(tree):
        for row in tree[rel]:
            path, inode = rel + row[0], row[1][4]
            shared = first.setdefault(inode, path) if row[1][7] > 1 and not is_whiteout(row[1]) else path
            found[path] = _essence(row, shared if shared != path else "")
    return found


def _essence(row: "Row", shared: str) -> tuple[object, ...]:
    _, (mode, size, _, _, _, uid, gid, _, device), link, xattrs, content = row
    is_directory, is_file = mode & 0o170000 == 0o040000, mode & 0o170000 == 0o100000
    return mode, uid, gid, size if is_file else 0, 0 if is_directory else device, link, xattrs, content, "" if is_directory else shared


def opened(path: "Path | str") -> int:
    return os.open(path, os.O_RDONLY | os.O_DIRECTORY)
