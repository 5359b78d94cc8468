"""The builder, given what it needs of this machine: the zygote and the networks of this user, and (for an ordinary user) its user namespace."""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from builder.progress import OnEvent
    from builder.request import Request, Result
    from store.store import Store


def tidy(store: "Store", config: "str | None" = None) -> None:
    """Keep the cache to its budget, by the end of a command: whatever this process held is nobody's from here on."""
    from builder.cleaning import after_build
    from store.config import load_config

    store.index.write_uses()                             # so that what this build has found is known to have been used
    store.leases.release()
    after_build(store, load_config(config))


def run(request: "Request", store: "Store", on_event: "OnEvent", config: "str | None" = None) -> "Result":
    """Build for real; somebody calls `tidy` when all is done. config: what `--config` says, for base images from registries.

    An ordinary user's process enters its user namespace first, and stays there: the one that its networks are in too.
    """
    from pybuild.stack.opening import zygote

    directory = store.root.run
    from builder.build import Tools, build
    from builder.cache.budget import Keeper
    from pybuild.image import terminal
    from pybuild.image.isolating import Isolated
    from pybuild.session import open_session, puller
    from runner.agent.steps import Steps
    from store.config import load_config

    attend = terminal.attend if request.rescue.on_error == "shell" and terminal.is_here() else None
    settings = load_config(config)
    keeper = Keeper(store, settings, on_event)
    with Isolated(request, store, on_event, lambda: zygote(directory), Steps(store.root.path, directory)) as how:
        tools = Tools(how.connect, how.network, puller(store, config, on_event), attend, lambda: open_session(config),
                      keeper.grown, how.ahead)
        result = build(request, store, tools, on_event)
        keeper.done()
        return result
