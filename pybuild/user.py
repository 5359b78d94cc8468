"""An ordinary user's command, where it is about to handle files of several owners: it becomes root of the user's own user namespace."""

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from store.store import Store


def enter(store: "Store") -> None:
    """Nothing to do for root. The process has one thread; it stays in the namespace: that of the zygote which runs containers and steps, too."""
    if os.geteuid() != 0:
        from pybuild.stack.opening import zygote
        from sandbox.userns import enter as enter_namespace

        with zygote(store.root.run) as client:
            enter_namespace(store.root.run, client)
