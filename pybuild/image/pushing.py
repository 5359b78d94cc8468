"""Outputs of a build that go to registries: `--push`, `-o type=registry`, `-o type=image,push=true`."""

from builder.errors import BuildError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from builder.progress import OnEvent
    from builder.request import Output, Request
    from store.digest import Digest
    from store.store import Store


def check_pushes(request: "Request") -> None:
    """Raises BuildError for a push that could not be done, before anything is built."""
    for output in request.outputs:
        if is_push(output):
            if not _names(output, request):
                raise BuildError("an image that is pushed needs a name", help="give it one with `-t NAME`")
            _annotations(request)


def is_push(output: "Output") -> bool:
    return output.type == "registry" or (output.type == "image" and output.option("push") == "true")


def push_outputs(store: "Store", request: "Request", image: "Digest", config: "str | None", on_event: "OnEvent") -> None:
    """Raises StoreError: what the registry says."""
    outputs = [output for output in request.outputs if is_push(output)]
    if not outputs:
        return
    from builder.outputs import packing_of
    from builder.progress import Note
    from pybuild.session import open_session, told
    from store.registry.push import push

    with open_session(config) as session:
        for output in outputs:
            for name in _names(output, request):
                pushed = push(store, session, name, packing_of(output), told(on_event), image=image, annotations=_annotations(request) or None)
                on_event(Note("info", f"pushed {pushed.reference}@{pushed.digest}"))


def _names(output: "Output", request: "Request") -> "tuple[str, ...]":
    return tuple(output.option("name").split(",")) if output.option("name") else request.names


def _annotations(request: "Request") -> "dict[str, str]":
    """`[manifest:]KEY=VALUE`, as buildx has them; those of an index have nowhere to go."""
    found = {}
    for text in request.annotations:
        kinds, colon, rest = text.partition(":")
        where = kinds.split(",") if colon and all(kind.split("[")[0] in ("manifest", "index", "manifest-descriptor", "index-descriptor")
                                                  for kind in kinds.split(",")) else None
        name, equals, value = (rest if where else text).partition("=")
        if not equals or not name:
            raise BuildError(f"the annotation `{text}` is no NAME=VALUE")
        if where is None or any(kind.split("[")[0] == "manifest" for kind in where):
            found[name] = value
    return found
