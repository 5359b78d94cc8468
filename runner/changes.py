"""What a container has changed in the files of its image: what `diff` shows. In: its writable layer and the image's; out: paths with a kind."""

import os

from kernel.value import Value
from runner.lower import NETWORK_FILES
from store.tree import DIRECTORY, FORMAT, GID, MODE, UID, is_opaque, is_whiteout, scan

TYPE_CHECKING = False
if TYPE_CHECKING:
    from runner.container import Container
    from runner.engine import Engine
    from store.tree import Row, Stat, Tree
    from store.view import View

CHANGED, ADDED, DELETED = "C", "A", "D"
KIND_NUMBER = {CHANGED: 0, ADDED: 1, DELETED: 2}          # as the Engine API has it
_MOUNT_POINTS = ("proc", "sys", "dev")


class Change(Value):
    """path: absolute, inside."""

    path: str
    kind: str


def changes(engine: "Engine", container: "Container") -> "list[Change]":
    """Sorted by path. Mount points that are only there while it runs are left out."""
    from store.view import View

    engine.require_layer(container)
    place, owners = engine.place(container.id), engine.store.root.owners
    tree = scan(place.fs, owners=owners, hashed=False)
    with View(engine.store.images.runtime(container.image_id).lowerdirs, owners=owners) as below:
        found, only_copied = _compare(tree, below)
    shown = [one for one in found if one.path not in only_copied and not (one.kind == ADDED and is_stub(one.path, container, place.fs))]
    above = {one.path[:at] for one in shown for at in range(len(one.path)) if one.path[at] == "/"}
    return sorted((*shown, *(one for one in found if one.path in only_copied and one.path in above)))


def _compare(tree: "Tree", below: "View") -> "tuple[list[Change], set[str]]":
    """(every change, directories that look as below: they count only if something in them has changed)."""
    found = []
    only_copied = set()
    for rel, rows in tree.items():
        there = {row[0]: row[1] for row in _rows_below(below, rel)}
        hidden = any(is_opaque(row) for row in tree.get(_parent(rel), ()) if rel and row[0] == rel.rstrip("/").rpartition("/")[2])
        for row in rows:
            path = f"/{rel}{row[0]}"
            if is_whiteout(row[1]):
                if row[0] in there:
                    found.append(Change(path, DELETED))
            else:
                found.append(Change(path, CHANGED if row[0] in there else ADDED))
                if _look(row[1]) == _look(there.get(row[0])) and row[1][MODE] & FORMAT == DIRECTORY:
                    only_copied.add(path)
        if hidden:
            found += [Change(f"/{rel}{name}", DELETED) for name in there.keys() - {row[0] for row in rows}]
    return found, only_copied


def _look(stat: "Stat | None") -> "tuple[int, int, int] | None":
    return (stat[MODE], stat[UID], stat[GID]) if stat else None


def _parent(rel: str) -> str:
    head = rel.rstrip("/").rpartition("/")[0]
    return f"{head}/" if head else ""


def _rows_below(below: "View", rel: str) -> "list[Row]":
    from store.view import NotInView

    try:
        entry = below.lookup(rel.rstrip("/"), follow=False)
        return list(below.rows(rel.rstrip("/"))) if entry is not None and entry.link == "" else []
    except NotInView:
        return []


def is_stub(path: str, container: "Container", directory: str) -> bool:
    """Whether it is an empty file or directory of the writable layer `directory` that something is mounted on while the container runs."""
    targets = {target for _, target in NETWORK_FILES} | {mount.target for mount in container.spec.mounts}
    targets |= {file.target for file in container.spec.files} | {f"/{name}" for name in _MOUNT_POINTS}
    if path not in targets and not any(target.startswith(f"{path}/") for target in targets):
        return False
    status = os.lstat(directory + path)
    if status.st_mode & 0o170000 == 0o100000:
        return status.st_size == 0
    inside = os.listdir(directory + path) if status.st_mode & 0o170000 == 0o040000 else [""]
    return all(is_stub(f"{path}/{name}", container, directory) for name in inside)
