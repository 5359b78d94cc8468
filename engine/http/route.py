"""Routes: method and path pattern -> handler. `/v2/{name...}/blobs/{digest}`: `{x}` is one part of a path, `{x...}` one or more.

Patterns are tried in the order in which they were added. A GET route answers HEAD too, unless there is one for it; a path that is known by other
methods only is 405 with `Allow`.
"""

import re

from engine.http.message import Handler, Request

_PART = re.compile(r"\{(\w+)(\.\.\.)?\}")


class Route:
    """One pattern. `name` is what logs and metrics call it."""

    __slots__ = ("expression", "handler", "method", "name", "pattern")

    def __init__(self, method: str, pattern: str, handler: "Handler", name: str = "") -> None:
        self.method, self.pattern, self.handler, self.name = method, pattern, handler, name or pattern
        self.expression = re.compile(_expression(pattern), re.DOTALL)


def _expression(pattern: str) -> str:
    parts, end = [], 0
    for found in _PART.finditer(pattern):
        parts += [re.escape(pattern[end:found.start()]), f"(?P<{found[1]}>{'.+' if found[2] else '[^/]+'})"]
        end = found.end()
    return "".join([*parts, re.escape(pattern[end:])])


class Router:
    """`find` what answers a request."""

    def __init__(self, routes: "tuple[Route, ...]") -> None:
        self._by_method: "dict[str, list[Route]]" = {}
        for route in routes:
            self._by_method.setdefault(route.method, []).append(route)
        self._routes = routes

    def find(self, request: Request) -> "Handler | None":
        """The handler, with the request's `parameters` and `route` filled in; None if the path is unknown, or not for this method."""
        for method in (request.method, "GET") if request.method == "HEAD" else (request.method,):
            for route in self._by_method.get(method, ()):
                if found := route.expression.fullmatch(request.path):
                    request.parameters = found.groupdict()
                    request.route = route.name
                    return route.handler
        return None

    def allowed(self, path: str) -> "tuple[str, ...]":
        """Methods by which the path is known, sorted."""
        methods = {route.method for route in self._routes if route.expression.fullmatch(path)}
        return tuple(sorted(methods | ({"HEAD"} if "GET" in methods else set())))
