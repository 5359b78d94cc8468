"""`develop.watch`: changed paths and the rules of services -> what is to be done. Pure.

A rule ignores what its own patterns, the build context's ignore file, and habits (editors' files, `.git`) say; `include` leaves only what fits.
"""

import os

from builder.ignore import Patterns, matches, of_flags, parse
from builder.request import read_ignore
from kernel.value import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from runner.model.build import Hook, Watch
    from runner.model.service import Service

    Texts = tuple[str, ...]

REBUILD, SYNC, RESTART, SYNC_RESTART, SYNC_EXEC = "rebuild", "sync", "restart", "sync+restart", "sync+exec"
ACTIONS = (REBUILD, SYNC, RESTART, SYNC_RESTART, SYNC_EXEC)
# what editors and version control leave beside the files that people mean
HABITS = ("**/.git", "**/.hg", "**/.svn", "**/.#*", "**/*~", "**/#*#", "**/*.swp", "**/*.swo", "**/*.swx", "**/.*.sw?", "**/4913", "**/.idea",
          "**/.DS_Store", "**/*.tmp.*", "**/___jb_tmp___", "**/___jb_old___")


class Copy(Value):
    """source: a path here, gone if `there` is False; target: where it belongs in the container."""

    source: str
    target: str
    there: bool = True


class Todo(Value):
    """What a batch of changes comes to for one service, in this order: rebuild (and nothing else), or copies, commands, a restart."""

    service: str
    rebuild: bool = False
    copies: "tuple[Copy, ...]" = ()
    execs: "tuple[Hook, ...]" = ()
    restart: bool = False
    changed: int = 0


class Rule:
    """One entry of `develop.watch`, ready to be asked. dockerignore: patterns of the build context, relative to `context`."""

    __slots__ = ("_context", "_dockerignore", "_ignored", "_included", "service", "watch")

    def __init__(self, service: "Service", watch: "Watch") -> None:
        self.service = service.name
        self.watch = watch
        self._ignored = of_flags((*HABITS, *watch.ignore))
        self._included: "Patterns | None" = of_flags(watch.include) if watch.include else None
        self._context = service.build.context if service.build else ""
        self._dockerignore: "Patterns | None" = None
        if self._context and watch.action != RESTART and os.path.isdir(self._context):
            text = read_ignore(self._context, os.path.join(self._context, service.build.dockerfile or "Dockerfile") if service.build else "")[1]
            if text.strip():
                self._dockerignore = parse(text.decode("utf-8-sig", errors="surrogateescape"))

    def concerns(self, path: str) -> bool:
        """Whether a change of `path` (absolute) is one for this rule."""
        inside = _below(path, self.watch.path)
        if inside is None:
            return False
        if inside and matches(self._ignored, inside):
            return False
        if self._included is not None and inside and not matches(self._included, inside):
            return False
        below = _below(path, self._context) if self._dockerignore is not None else None
        return not (below and self._dockerignore is not None and matches(self._dockerignore, below))

    def copy(self, path: str, *, there: bool) -> Copy:
        inside = _below(path, self.watch.path)
        return Copy(path, os.path.join(self.watch.target, inside) if inside else self.watch.target, there)


def _below(path: str, top: str) -> "str | None":
    """`path` as seen from `top`: "" if it is that itself, None if it is elsewhere."""
    if path == top:
        return ""
    return path[len(top) + 1:] if path.startswith(top.rstrip("/") + "/") else None


def rules(services: "Iterable[Service]") -> "list[Rule]":
    return [Rule(one, watch) for one in services if one.develop for watch in one.develop.watch]


def decide(rules: "Iterable[Rule]", changed: "dict[str, bool]") -> "list[Todo]":
    """changed: path -> whether it is there now. One Todo a service that is concerned, in the order of the rules."""
    found: dict[str, Todo] = {}
    for rule in rules:
        paths = [path for path in sorted(changed) if rule.concerns(path)]
        if not paths:
            continue
        todo, action = found.get(rule.service, Todo(rule.service)), rule.watch.action
        todo = todo._replace(changed=todo.changed + len(paths))
        if action == REBUILD:
            todo = todo._replace(rebuild=True)
        if action.startswith(SYNC):
            todo = todo._replace(copies=(*todo.copies, *(rule.copy(path, there=changed[path]) for path in paths)))
        if action in (RESTART, SYNC_RESTART):
            todo = todo._replace(restart=True)
        if action == SYNC_EXEC and rule.watch.exec and rule.watch.exec not in todo.execs:
            todo = todo._replace(execs=(*todo.execs, rule.watch.exec))
        found[rule.service] = todo
    return list(found.values())


def bound(service: "Service", watch: "Watch") -> bool:
    """Whether the path is in the container anyway, as a bind mount: then there is nothing to copy."""
    return watch.action.startswith(SYNC) and any(one.type == "bind" and _below(watch.path, one.source) is not None for one in service.volumes)


def first_copies(rule: Rule) -> "list[Copy]":
    """All files below the rule's path: what `initial_sync` begins with."""
    if not os.path.isdir(rule.watch.path):
        return [rule.copy(rule.watch.path, there=True)] if os.path.exists(rule.watch.path) and rule.concerns(rule.watch.path) else []
    found = []
    for directory, names, files in os.walk(rule.watch.path):
        names[:] = [name for name in names if rule.concerns(f"{directory}/{name}")]
        found += [rule.copy(f"{directory}/{name}", there=True) for name in sorted(files) if rule.concerns(f"{directory}/{name}")]
    return found
