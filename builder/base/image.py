"""A recipe -> an image in the store: one layer, and a config that says nothing of when or by whom it was made."""

import os

from builder.base.errors import NotUsable
from builder.base.host import Host
from builder.base.maker import write_tree
from builder.base.programs import DIRECTORIES
from builder.base.recipe import Recipe, busybox_recipe, program_recipe
from store.digest import Digest, digest_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from store.store import Store

_EPOCH = "1970-01-01T00:00:00Z"
_ARCHITECTURE = {"x86_64": "amd64", "aarch64": "arm64"}


def make_image(store: "Store", recipe: Recipe, names: tuple[str, ...] = ()) -> Digest:
    """Make the image and let `names` lead to it; its ID. Law: the same recipe on the same machine gives the same ID, whoever makes it.

    Raises NotReadable, NotUsable; nothing is left then.
    """
    from store.images import Layer
    from store.pack import diff_id
    from store.tree import digest, scan, size_of

    draft = store.snapshots.begin()
    try:
        write_tree(recipe.plan, recipe.host, draft.directory)
        tree = scan(draft.directory, owners=store.root.owners)
        diff = diff_id(tree, (draft.directory,))
        config = _config(recipe, diff)
        image = digest_of(config)
        if store.images.record(image) is not None:          # made before, of other files with the same content
            store.snapshots.discard(draft)
        else:
            snapshot = store.snapshots.commit(draft, tree=tree)
            store.leases.current().hold("snapshot", snapshot)
            store.images.add(config, (Layer(diff, digest(tree), snapshot, size_of(tree)),))
    except BaseException:
        store.snapshots.discard(draft)
        raise
    for name in names:
        store.images.tag(image, name)
    return image


def make_of_programs(store: "Store", name: str, programs: tuple[str, ...], extra: tuple[str, ...] = (), path: tuple[str, ...] = ()) -> Digest:
    """An image `name` of host/base with more programs (names, found in the directories `path` and the system's, or paths) and `extra` paths.

    Raises ProgramMissing, LibraryMissing, NotReadable, NotUsable, ElfFault.
    """
    directories = tuple(dict.fromkeys((*(d.rstrip("/") for d in path if d.startswith("/")), *DIRECTORIES)))
    return make_image(store, program_recipe(Host(), name, programs, extra, directories), (name,))


def make_busybox(store: "Store", name: str) -> Digest:
    """An image `name` of this machine's busybox. Raises ProgramMissing, NotUsable."""
    return make_image(store, busybox_recipe(Host()), (name,))


def _config(recipe: Recipe, diff: Digest) -> bytes:
    from store.oci import ContainerConfig, HistoryEntry, ImageConfig, RootFS, to_json
    machine = os.uname().machine
    if machine not in _ARCHITECTURE:
        raise NotUsable(machine, "is an architecture that images are not made for here")
    return to_json(ImageConfig(
        architecture=_ARCHITECTURE[machine], os="linux", created=_EPOCH,
        config=ContainerConfig(env=recipe.env, cmd=recipe.command, labels=dict(recipe.labels)),
        history=(HistoryEntry(created=_EPOCH, created_by=f"pybuild base {recipe.name}", comment="made of files of this machine"),),
        rootfs=RootFS((diff,))))
