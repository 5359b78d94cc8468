"""Outputs of a build that go to registries: `--push`, `-o type=registry`, `-o type=image,push=true`."""

from builder.outputs import chosen_of, is_push, packing_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from builder.progress import OnEvent
    from builder.request import Request
    from store.digest import Digest
    from store.registry.push import Pushed
    from store.store import Store


def push_outputs(store: "Store", request: "Request", image: "Digest", config: "str | None", on_event: "OnEvent") -> "tuple[Pushed, ...]":
    """Raises StoreError: what the registry says."""
    outputs = [output for output in request.outputs if is_push(output)]
    if not outputs:
        return ()
    from builder.progress import Note
    from pybuild.session import open_session, told
    from store.registry.push import push

    done: list[Pushed] = []
    with open_session(config) as session:
        for output in outputs:
            chosen = chosen_of(store, request, output, image)
            for name in chosen.names:
                by_digest = output.option("push-by-digest") == "true"
                pushed = push(store, session, name, packing_of(output), told(on_event), image=image, annotations=dict(chosen.annotations) or None,
                              by_digest=by_digest)
                on_event(Note("info", f"pushed {pushed.reference.name if by_digest else pushed.reference}@{pushed.digest}"))
                done.append(pushed)
    return tuple(done)
