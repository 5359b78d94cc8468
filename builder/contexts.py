"""The directories that a build takes from: its context and the named ones, each opened at its first use, as its ignore file leaves it."""

import os

from builder.context import Context
from builder.errors import BuildError, ContextMissing
from builder.request import read_ignore

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from builder.request import Request
    from builder.signature import Signatures


class Contexts:
    """index: directory where their indexes are kept."""

    def __init__(self, request: "Request", index: str) -> None:
        self._request, self._index = request, index
        self._named = dict(request.named_contexts)
        self._opened: dict[str, Context] = {}

    def __call__(self, name: str) -> Context:
        """The Files of the build context ("context") or of a named directory. Raises BuildError."""
        context = self._opened.get(name)
        if context is None:
            context = self._opened[name] = self._open(name)
        return context

    def looked_at(self) -> "tuple[tuple[str, Signatures], ...]":
        """(directory, signatures) of each that was opened."""
        return tuple((context.root, context.signatures) for context in self._opened.values())

    def excluded_by(self, path: str) -> str:
        """The ignore pattern because of which a path that is there is not in the context; "" if that is not why it is gone."""
        context, request = self._opened.get("context"), self._request
        if context is None or not request.ignore.strip() or not os.path.lexists(f"{context.root}/{path}"):
            return ""
        from builder.ignore import deciding, parse

        decided = deciding(parse(request.ignore.decode("utf-8-sig", errors="surrogateescape")), path)
        return f"`{decided.text}` of {os.path.basename(request.ignore_name)}" if decided is not None else ""

    def close(self) -> None:
        for context in self._opened.values():
            context.close()

    def _open(self, name: str) -> Context:
        request = self._request
        if name == "context":
            keep, hollow = _keeper(request.ignore, request.ignore_name)
            return Context(request.context, self._index, keep, "the build context", request.ignore, hollow)
        directory = self._named[name]
        if not os.path.isdir(directory):
            raise ContextMissing(directory, f"it was given as `--build-context {name}={directory}`")
        ignore_name, ignore = read_ignore(directory)
        keep, hollow = _keeper(ignore, ignore_name)
        return Context(directory, self._index, keep, f"the named context `{name}`", ignore, hollow)


def _keeper(ignore: bytes, name: str) -> "tuple[Callable[[str, bool], bool] | None, Callable[[str], bool] | None]":
    """What an ignore file leaves of a context: `keep` and `hollow`, as Context takes them."""
    if not ignore.strip():
        return None, None
    from builder.ignore import BadPattern, hollow, matches, may_contain, parse

    try:
        patterns = parse(ignore.decode("utf-8-sig", errors="surrogateescape"))
    except BadPattern as error:
        raise BuildError(f"{name}: {error}") from error
    return lambda path, is_directory: not matches(patterns, path) or (is_directory and may_contain(patterns, path)), hollow(patterns)
