"""What is left of a container when it is removed: nothing. In: an engine, a container that does not run; out: its rows, its claim on the image, its
volumes and its files are gone.

Rows go first, so that what a kill leaves behind has no record and is swept later. On a disk so full that not even that can be written down, the
files go first, which makes room; and if others have taken it at once, the emptied directory stays: its name says that the record means nothing.
"""

import os

from kernel.paths import DIRECTORY, remove_tree
from runner.records import GONE
from store.errors import IndexHasNoRoom

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from runner.container import Container
    from runner.engine import Engine


def forget(engine: "Engine", container: "Container", *, volumes: bool = False, discard: "Callable[[str], object] | None" = None) -> bool:
    """Whether there was a record of it. volumes: its anonymous ones too. discard: called with the ID to remove its files; None: that is done here."""
    anonymous: "tuple[str, ...]" = ()
    try:
        if volumes:
            anonymous = _take_anonymous(engine, container)
        there = _unrecord(engine, container.id)
    except IndexHasNoRoom:
        there = _make_room(engine, container, volumes=volumes)
    else:
        (discard or engine.discard)(container.id)
    for name in anonymous:
        engine.volumes.destroy(name)
    return there


def _unrecord(engine: "Engine", id: str) -> bool:
    from runner.engine import owner_of

    there = engine.records.remove(id)
    engine.store.images.let_go(owner_of(id))
    return there


def _make_room(engine: "Engine", container: "Container", *, volumes: bool) -> bool:
    there = engine.records.container(container.id) is not None
    anonymous = _lone_volumes(engine, container) if volumes else ()
    fd = _open(engine)
    try:
        gone = _bury(fd, container.id)
        _empty(fd, gone)
        for name in anonymous:
            engine.volumes.destroy(name)
        try:
            if anonymous:
                _take_anonymous(engine, container)
            _unrecord(engine, container.id)
        except IndexHasNoRoom:
            return there                                  # whoever opens the records with more room does it
        remove_tree(fd, gone)
    finally:
        os.close(fd)
    return there


def _lone_volumes(engine: "Engine", container: "Container") -> "tuple[str, ...]":
    """Its anonymous volumes that nobody else uses."""
    found = (engine.records.volume(name) for name in engine.records.used_by(container.id))
    return tuple(one.name for one in found if one and one.anonymous and engine.records.users(one.name) == (container.id,))


def _take_anonymous(engine: "Engine", container: "Container") -> "tuple[str, ...]":
    """Take those out of the records."""
    with engine.records:
        names = _lone_volumes(engine, container)
        for name in names:
            engine.records.remove_volume(name)
    return names


def discard(engine: "Engine", id: str) -> None:
    """Remove the directory of a container that has no record. By another name first: half removed it must not look like half made."""
    try:
        fd = _open(engine)
    except FileNotFoundError:
        return
    try:
        remove_tree(fd, _bury(fd, id))
    except FileNotFoundError:
        pass                                              # somebody else has removed it
    finally:
        os.close(fd)


def _open(engine: "Engine") -> int:
    return os.open(f"{engine.store.root.path}/containers", DIRECTORY)


def _bury(fd: int, id: str) -> str:
    """Its name afterwards."""
    gone = f"{id.removesuffix(GONE)}{GONE}"
    if id != gone:
        os.rename(id, gone, src_dir_fd=fd, dst_dir_fd=fd)
    return gone


def _empty(fd: int, name: str) -> None:
    inner = os.open(name, DIRECTORY, dir_fd=fd)
    try:
        for each in os.listdir(inner):
            remove_tree(inner, each)
    finally:
        os.close(inner)


def sweep(engine: "Engine") -> int:
    """Remove what containers have left behind whose removal was interrupted; how many there were."""
    known = engine.records.ids()
    try:
        there = os.listdir(f"{engine.store.root.path}/containers")
    except FileNotFoundError:
        return 0
    count = 0
    for name in there:
        removed = name.endswith(GONE)
        if name in known or (not removed and engine.records.container(name) is not None) or not engine.place(name).is_abandoned(removed=removed):
            continue
        try:
            _unrecord(engine, name.removesuffix(GONE))
        except IndexHasNoRoom:
            break                                         # another time
        discard(engine, name)
        count += 1
    return count
