"""ADD of archives: what is a tar by its *content* (plain, gzip, bzip2, xz, zstd) is unpacked at the destination, everything else is copied."""

import os

from builder.copying import Dressing, copy
from builder.files import REGULAR
from store.compression import decompress, detect, peek
from store.errors import StoreError
from store.extract import Policy, apply
from store.tarreader import TarReader

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from builder.files import Files, Node
    from builder.selection import Keep, Taken
    from builder.target import Target
    from store.root import Root
    from store.view import View

_CHUNK = 1 << 20


def copy_or_unpack(files: "Files", taken: "list[Taken]", target: "Target", destination: str, dressing: Dressing, root: "Root",
                   below: "View", keep: "Keep | None" = None) -> dict[str, bytes]:
    """As copying.copy, but archives among `taken` are unpacked into `destination`, which is then a directory. Raises BuildError, StoreError."""
    digests: dict[str, bytes] = {}
    for item in taken:
        if item.node.kind == REGULAR and is_archive(files, item.node):
            if keep is None or keep(item.base):
                unpack(files, item.node, target, destination, dressing, root, below)
        else:
            digests |= copy(files, [item], target, destination, dressing, keep=keep)
    return digests


def is_archive(files: "Files", node: "Node") -> bool:
    """Whether it begins with a tar header, perhaps compressed."""
    head, chunks = peek(_chunks(files, node))
    try:
        for _ in TarReader(decompress(chunks, detect(head))):
            return True
    except StoreError:
        return False
    return False


def unpack(files: "Files", node: "Node", target: "Target", destination: str, dressing: Dressing, root: "Root", below: "View") -> None:
    goal = target.resolve(destination)
    target.make_directories(goal, owner=dressing.owner)
    target.dress_all()
    head, chunks = peek(_chunks(files, node))
    policy = Policy(whiteouts=False, owner=dressing.owner, prefix=goal, enclosed=True, xattr_prefix=root.xattr_prefix, owners=root.owners)
    applied = apply(decompress(chunks, detect(head)), target.fd, policy, below)
    target.owners |= applied.owners
    target.look_again()


def _chunks(files: "Files", node: "Node") -> "Iterator[bytes]":
    fd = files.open(node)
    try:
        while data := os.read(fd, _CHUNK):
            yield data
    finally:
        os.close(fd)
