"""`include`: other projects, loaded on their own from their own directory, become part of this one."""

from kernel.value import Value
from runner.load import reading
from runner.load.location import FORBIDDEN, resolve
from runner.load.merge import merge, reset, sequence
from runner.load.tree import Map, clone

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

    from runner.load.context import ComposeFile, Context
    from runner.load.location import Place
    from runner.load.tree import Mark, Path, Seq

    Load = Callable[[Context, list[ComposeFile], Place, Mapping[str, str], tuple[str, ...]], Map]

KINDS = ("services", "volumes", "networks", "secrets", "configs", "models")
DEPTH = 50                                                # projects within projects


class Inclusion(Value):
    """One entry of `include`."""

    paths: "Seq"
    directory: "str | None"
    env_files: "Seq | None"
    mark: "Mark | None"


def apply(context: "Context", tree: Map, resets: "tuple[Path, ...]", place: "Place", environment: "Mapping[str, str]",
          included: "tuple[str, ...]", load: "Load") -> None:
    """Merge, in place, what `tree` includes under what it says itself.

    included: the files on the way here. load: makes one tree of the files of a project.
    Raises InvalidCompose.
    """
    entries = tree.get("include")
    own = {(kind, name): value for kind in KINDS for name, value in (tree.get(kind) or {}).items()}
    others: dict[tuple[str, str], Any] = {}
    for entry, mark in zip(entries, entries.marks) if entries else ():
        found = _load(context, _inclusion(entry, mark), place, environment, included, load)
        for kind in KINDS:
            for name, value in (found.get(kind) or {}).items():
                _take(context, tree, (kind, name), value, found[kind].marks.get(name), own, others, resets)
    tree.drop("include")
    context.report.stop()


def _inclusion(entry: "Any", mark: "Mark | None") -> Inclusion:
    if entry.__class__ is not Map:
        return Inclusion(sequence(entry, mark), None, None, mark)
    paths = sequence(entry["path"], entry.marks.get("path", mark)) if "path" in entry else sequence(Map(), mark)
    files = sequence(entry["env_file"], entry.marks.get("env_file", mark)) if "env_file" in entry else None
    return Inclusion(paths, entry.get("project_directory"), files, mark)


def _load(context: "Context", entry: Inclusion, place: "Place", environment: "Mapping[str, str]", included: "tuple[str, ...]",
          load: "Load") -> Map:
    """The tree of an included project, its paths as seen from `place`."""
    report = context.report
    files: list[ComposeFile] = []
    theirs = place
    for index, (name, mark) in enumerate(zip(entry.paths, entry.paths.marks)):
        local, remote = context.local(name, mark)
        path = place.file(local)
        if place.forbids(path):
            report.fault(mark, f"`{name}` is outside of the remote project that includes it", FORBIDDEN)
            report.stop()
        if index == 0:
            theirs = place.below(place.expanded(entry.directory) if entry.directory else path.rpartition("/")[0] or "/")
            if remote and not context.remote_paths:
                theirs = theirs._replace(inside=path.rpartition("/")[0] or "/")
            if path in included or len(included) > DEPTH:
                steps = " -> ".join(f"`{context.shown(one)}`" for one in (*included, path))
                report.fault(mark, f"the file includes itself: {steps}" if path in included else f"includes nested deeper than {DEPTH}")
                report.stop()
        files.append(context.compose(path, mark))
    inner = _environment(context, entry, place, theirs, environment)
    tree = load(context, files, theirs, inner, included)
    resolve(tree, theirs, report)
    return tree


def _environment(context: "Context", entry: Inclusion, place: "Place", theirs: "Place", environment: "Mapping[str, str]") -> "dict[str, str]":
    """The variables of an included project: ours, then those of its own files."""
    if entry.env_files is not None:
        named = [(place.file(name), mark) for name, mark in zip(entry.env_files, entry.env_files.marks) if name != "/dev/null"]
    else:
        beside = theirs.file(".env")
        named = [(beside, entry.mark)] if reading.exists(beside) else []
    found: dict[str, str] = {}
    for path, mark in named:
        if (theirs if entry.env_files is None else place).forbids(path):
            context.report.fault(mark, f"`{path}` is outside of the remote project that reads it", FORBIDDEN)
            context.report.stop()
        found.update(context.variables(path, found, environment.get, mark))
    return {**found, **environment}


def _take(context: "Context", tree: Map, key: "tuple[str, str]", value: "Any", mark: "Mark | None", own: "dict[tuple[str, str], Any]",
          others: "dict[tuple[str, str], Any]", resets: "tuple[Path, ...]") -> None:
    """Put one included resource into `tree`, under what it says itself."""
    kind, name = key
    if key in others and key not in own:
        if others[key] != value:
            context.report.fault(mark, f"`{kind}.{name}` is in two included files, and they differ",
                                 "say in this file what it is, or rename one of them", key=True)
        return
    others[key] = clone(value) if key in own else value
    if tree.get(kind) is None:
        tree[kind] = Map()
    if key in own:
        base = Map({kind: Map({name: value})})
        reset(base, resets)
        kept = base[kind].get(name)
        value, mark = merge(kept, tree[kind][name], key, tree[kind].marks.get(name), context.report), tree[kind].marks.get(name)
    tree[kind].put(name, value, mark)
