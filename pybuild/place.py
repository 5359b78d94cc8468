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
    from pybuild.session import fetcher, limits
    from store.root import open_root
    from store.store import Store

    root, run = directories(options.root)
    if os.geteuid() and not os.path.exists(f"{root}/format"):
        _make_store(root, run)
    store = Store(open_root(root, run))
    store.fetch, store.limits = fetcher(options.config), limits(options.config)
    return store


def _make_store(root: str, run: str) -> None:
    """A new store of an ordinary user finds out whether its files can have several owners; so it is made where it will be used: in a user
    namespace with all ids that the user has. What goes wrong there comes again, and is told, where the store is opened."""
    from sandbox.errors import SandboxError
    from sandbox.userns import create
    from store.errors import StoreError
    from store.root import open_root

    child = os.fork()
    if not child:
        try:
            create()
            open_root(root, run)
        except (SandboxError, StoreError, OSError):
            os._exit(1)
        finally:
            os._exit(0)
    os.waitpid(child, 0)
