"""Where state lives: the root and run directories of this user, and the store opened there."""

import os
from functools import cache

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pybuild.scanner import Options
    from store.store import Store


@cache                                                   # decided once: an ordinary user's process may become root of its user namespace
def directories(root: str | None) -> tuple[str, str]:
    """(root directory, run directory). --root and PYBUILD_ROOT move both.

    Sockets live in the run directory, and a socket's path has room for 108 bytes: `sandbox` and `runner` bind through a directory fd.
    """
    root = root or os.environ.get("PYBUILD_ROOT")
    if root:
        root = os.path.abspath(root)
        return root, f"{root}/run"
    uid = os.geteuid()
    if uid == 0:
        return "/var/lib/pybuild", "/run/pybuild"
    data = os.environ.get("XDG_DATA_HOME") or os.path.expanduser("~/.local/share")
    return f"{data}/pybuild", f"{_runtime_directory(uid)}/pybuild"


def _runtime_directory(uid: int) -> str:
    named = os.environ.get("XDG_RUNTIME_DIR")
    for path in (named, f"/run/user/{uid}"):
        if path and _is_ours(path, uid):
            return path
    path = f"{os.environ.get('TMPDIR') or '/tmp'}/pybuild-{uid}"
    try:
        os.mkdir(path, 0o700)
    except FileExistsError:
        if not _is_ours(path, uid):
            from kernel.errors import NotPermitted

            raise NotPermitted(1, "open", path) from None
    return path


def _is_ours(path: str, uid: int) -> bool:
    try:
        status = os.stat(path, follow_symlinks=False)
    except OSError:
        return False
    return status.st_uid == uid and status.st_mode & 0o170000 == 0o040000 and os.access(path, os.W_OK)


def open_store(options: "Options") -> "Store":
    """The store of this user, or of --root."""
    from pybuild.session import fetcher
    from store.root import open_root
    from store.store import Store

    root, run = directories(options.root)
    store = Store(open_root(root, run))
    store.fetch = fetcher(options.config)
    return store
