"""`host/base` and `host/python`: a reserved name enters, an image's ID leaves; the image is made on first use and kept by content.

On the cached path: as long as nothing changed on this machine, `resolve` costs one look-up and the stat of what the image was made of.
"""

import os
import sys
from marshal import dumps, loads

from builder.base.fingerprint import fingerprint
from store.digest import Digest, digest_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from builder.base.recipe import Recipe
    from builder.progress import OnEvent
    from store.store import Store

NAMES = ("host/base", "host/python")
_VERSION = 2                     # of what is made: a change in this package that changes images needs another


def is_reserved(name: str) -> bool:
    """Whether `name`, as a Dockerfile says it, means an image made of this machine, unless a context or an image has that name."""
    return name.removesuffix(":latest") in NAMES


def resolve(store: "Store", name: str, on_event: "OnEvent | None" = None, root: str = "/") -> Digest:
    """ID of the image that the reserved `name` means; made now if this machine has changed since it was made.

    root: the machine, for tests. Law: as long as files that matter stay as they are, the same ID. Raises BaseError.
    """
    name = name.removesuffix(":latest")
    key = _key(name, root)
    image = _known(store, key)
    if image is None:
        with store.cache.lock(key):              # whoever waited finds what the other one made
            image = _known(store, key) or _renewed(store, name, key, on_event, root)
    return image


def known(store: "Store", name: str, root: str = "/") -> "Digest | None":
    """What `resolve` would give without making anything; None if it would have to."""
    return _known(store, _key(name.removesuffix(":latest"), root))


def _key(name: str, root: str) -> Digest:
    python = (sys.hexversion, getattr(sys, "_base_executable", sys.executable)) if name == "host/python" else ()
    return digest_of(dumps(("base", _VERSION, name, root, os.uname().machine, python), 2))


def _known(store: "Store", key: Digest) -> "Digest | None":
    """The image, if there is one and this machine is as it was then."""
    record = store.cache.get_build(key)
    if record is None:
        return None
    image, mark, paths, _ = loads(record)
    return Digest(image) if fingerprint(paths) == mark and store.images.record(image) is not None else None


def _renewed(store: "Store", name: str, key: Digest, on_event: "OnEvent | None", root: str) -> Digest:
    from builder.base.host import Host
    from builder.base.image import make_image
    from builder.base.recipe import base_recipe, python_recipe
    host = Host(root)
    recipe = python_recipe(host) if name == "host/python" else base_recipe(host)
    paths = host.watched()
    mark = fingerprint(paths)                    # before the files are copied: a change in between is found next time
    content = _content(recipe)
    record = store.cache.get_build(key)
    if record is not None and loads(record)[3] == content and store.images.record(loads(record)[0]) is not None:
        image = Digest(loads(record)[0])         # something was touched that is not in the image
    else:
        if on_event is not None:
            from builder.progress import Note
            on_event(Note("info", f"`{name}` is made of this machine's files"))
        image = make_image(store, recipe)
    store.cache.put_build(key, dumps((str(image), mark, paths, content), 2))
    return image


def _content(recipe: "Recipe") -> str:
    """Digest of all that decides the image's bytes: the plan, and the stat rows of the files in it."""
    from kernel.value import plain
    files = fingerprint(recipe.host.outer(path) for path in recipe.plan.sources())
    return digest_of(dumps((plain((recipe.plan, recipe.env, recipe.command, recipe.labels)), files), 2))
