"""Why a step was not cached: the parts of its key beside those of an earlier record, compared down to the field and the file. Pure.

What enters: two `parts` (cachekey.parts: format, canonical op, what each input counts as) and a way to load manifests. What leaves: causes.
"""

from marshal import loads

from builder.files import DIRECTORY, FORMAT, SYMLINK, has_wildcard
from kernel.value import Value
from lang.confidential import concealed, is_secret

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from typing import Any

    Load = Callable[[str], "bytes | None"]               # digest ("sha256:..") -> the bytes that it names, if they are still there
    Rows = dict[str, tuple[Any, ...]]                    # path -> (mode, uid, gid, size, device, link, xattrs, sha256)


class Cause(Value):
    """One reason. kind: first, command, variable, setting, base, parent, file, source, format; path: of a file, relative to its source."""

    kind: str
    text: str
    path: str = ""
    more: int = 0                # so many further files changed as well

    def __str__(self) -> str:
        return self.text + (f" (+{self.more} more)" if self.more else "")


class Inputs(Value):
    """What is known of the inputs, for words.

    images: names of base images by input; parents: labels of the steps they are; sources: the paths that an input is selected by;
    arguments: which variables come from ARG; excluded: what excludes a path from the context that is still there ("`*.log` of
    .dockerignore"), or ""; of_step: whether a result is one that some step yielded.
    """

    images: "Mapping[int, str]"
    parents: "Mapping[int, str]"
    sources: "Mapping[int, tuple[str, ...]]"
    arguments: frozenset[str]
    excluded: "Callable[[str], str]"
    of_step: "Callable[[str], bool]"


def similarity(before: "tuple[Any, ...]", after: "tuple[Any, ...]") -> int:
    """How many fields of the ops are equal; -1 for another kind of step."""
    if before[0] != after[0] or before[1][0] != after[1][0]:
        return -1
    return sum(a == b for a, b in zip(before[1][1], after[1][1]))


def explain(before: "tuple[Any, ...] | None", after: "tuple[Any, ...]", inputs: Inputs, load: "Load") -> tuple[Cause, ...]:
    """Causes, the most telling first. before: None if this step was never run here."""
    if before is None:
        return (Cause("first", "first build here"),)
    if before[0] != after[0]:
        return (Cause("format", "a newer pybuild makes its keys otherwise"),)
    causes = _op(dict(before[1][1]), dict(after[1][1]), inputs)
    for index, (was, now) in enumerate(zip(before[2], after[2])):
        if was != now:
            causes += _input(index, was, now, inputs, load)
    if len(before[2]) != len(after[2]):
        causes += (Cause("source", "it takes from other stages or contexts"),)
    return causes or (Cause("first", "its earlier result is no longer here"),)


# ---------------------------------------------------------------- the op
def _op(before: "dict[str, Any]", after: "dict[str, Any]", inputs: Inputs) -> tuple[Cause, ...]:
    causes: tuple[Cause, ...] = ()
    command = " ".join(after.get("argv", ()))
    for name, now in after.items():
        was = before.get(name)
        if was == now:
            continue
        if name == "env":
            causes += _variables(dict(was or ()), dict(now), inputs, command)
        elif name == "argv":
            causes += (Cause("command", f"the command changed: was `{_short(' '.join(was or ()))}`"),)
        elif name == "mounts":
            causes += tuple(Cause("setting", text) for text in _mounts(was or (), now))
        elif name in ("files", "inline"):
            causes += tuple(Cause("setting", f"heredoc {text}") for text in _texts(was or (), now))
        else:
            causes += (Cause("setting", f"{_NAMES.get(name, name)} {_shown(was)} -> {_shown(now)}"),)
    return causes


_NAMES = {"cwd": "WORKDIR", "user": "USER", "owner": "--chown", "chmod": "--chmod", "add_hosts": "--add-host", "shm_size": "--shm-size",
          "ulimits": "--ulimit", "epoch": "SOURCE_DATE_EPOCH", "parents": "--parents", "security": "--security", "network": "--network",
          "unpack": "archives to unpack"}


def _mounts(was: "tuple[Any, ...]", now: "tuple[Any, ...]") -> "Iterator[str]":
    """What is different about the mounts of a RUN, each known by where it is."""
    before, after = ({_place(one): _fields(one) for one in some} for some in (was, now))
    for place in (*before, *(place for place in after if place not in before)):
        if place not in after:
            yield f"mount {place} is gone"
        elif place not in before:
            yield f"mount {place} is new"
        else:
            yield from (f"mount {place} {name} {_shown(before[place].get(name))} -> {_shown(value)}" for name, value in after[place].items()
                        if value != before[place].get(name))
    if was != now and [*before] != [*after] and {*before} == {*after}:
        yield "mounts were reordered"


def _fields(mounted: "Any") -> "dict[str, Any]":
    """The fields of a mount in its canonical form, with its kind; which input it is from says the Dockerfile's own order."""
    kind, fields = dict(mounted[1])["mount"]
    found = {"type": kind.removesuffix("Mount").lower(), **dict(fields)}
    return {**found, "mode": f"{found['mode']:o}"} if found.get("mode") is not None else found


def _place(mounted: "Any") -> str:
    fields = _fields(mounted)
    return str(fields.get("target") or f"of {fields['type']} {fields.get('id', '')}".rstrip())


def _texts(was: "tuple[Any, ...]", now: "tuple[Any, ...]") -> "Iterator[str]":
    before, after = ({dict(one[1])["name"]: one for one in some} for some in (was, now))
    for name in (*before, *(name for name in after if name not in before)):
        if before.get(name) != after.get(name):
            yield f"{name} is gone" if name not in after else f"{name} is new" if name not in before else f"{name} changed"


def _variables(was: dict[str, str], now: dict[str, str], inputs: Inputs, command: str) -> tuple[Cause, ...]:
    found = []
    for name in sorted(was.keys() | now.keys()):
        if was.get(name) == now.get(name):
            continue
        what = "ARG" if name in inputs.arguments else "ENV"
        secret = is_secret(name)
        change = "changed" if secret and name in was and name in now else f"{_value(was.get(name), secret)} -> {_value(now.get(name), secret)}"
        unused = " (unused by the command)" if what == "ARG" and name not in command else ""
        found.append(Cause("variable", f"{what} {name} {change}{unused}"))
    return tuple(found)


def _value(text: str | None, secret: bool) -> str:
    return "unset" if text is None else "set" if secret else _short(text) or '""'


def _short(text: str) -> str:
    text = concealed(text)
    return text if len(text) <= 60 else text[:57] + "..."


def _shown(value: "Any") -> str:
    if isinstance(value, tuple) and value[:1] == ("Owner",):
        value = ":".join(part for _, part in value[1] if part is not None)
    elif isinstance(value, tuple) and value[:1] == ("Chmod",):
        value = dict(value[1])["text"]
    elif isinstance(value, bool):
        value = str(value).lower()
    if isinstance(value, tuple) and all(isinstance(word, str) for word in value):
        value = ", ".join(value)
    return _short(str(value)) if value not in (None, (), "") else "none"


# ---------------------------------------------------------------- inputs
def _input(index: int, was: str, now: str, inputs: Inputs, load: "Load") -> tuple[Cause, ...]:
    if index == 0:
        if 0 in inputs.images and inputs.of_step(was):
            return (Cause("parent", f"follows the base image `{inputs.images[0]}`, and followed another step"),)
        if 0 in inputs.images:
            return (Cause("base", f"base image `{inputs.images[0]}` moved"),)
        return (Cause("parent", f"follows `{_short(inputs.parents.get(0, 'an earlier step'))}`, which yielded something else"),)
    sources = inputs.sources.get(index, ())
    before, after = _rows(was, sources, load), _rows(now, sources, load)
    if before is None or after is None:
        return (Cause("source", "what it takes changed"),)
    changes = [cause for path in sorted(before.keys() | after.keys()) if (cause := _file(path, before.get(path), after.get(path), inputs))]
    if not changes:
        return (Cause("source", "its sources were renamed or reordered"),)
    # what is left out from now on tells more than the file that says so, and a file more than the directory around it
    changes.sort(key=lambda cause: (" is excluded now, by " not in cause.text, cause.text.endswith("(directory)")))
    return (changes[0]._replace(more=len(changes) - 1),)


def _rows(digest: str, sources: tuple[str, ...], load: "Load") -> "Rows | None":
    """What was selected under a content digest, by path in the tree that it was selected from, as far as that can be told."""
    top = load(digest)
    if top is None:
        return None
    found: Rows = {}
    listed = loads(top)
    for number, (name, directories) in enumerate(listed):
        prefix = _prefix(name, sources[number] if len(sources) == len(listed) else "", sources)
        for rel, raw in directories:
            data = load(f"sha256:{raw.hex()}")
            if data is None:
                return None
            for row in loads(data):
                found[f"{prefix}{rel}{row[0]}"] = row[1:]
    return found


def _prefix(name: str, source: str, sources: tuple[str, ...]) -> str:
    """What to put before the paths of one source. name: of a file, or with --parents; a directory has none."""
    source = source or (sources[0] if len(sources) == 1 else "")
    if has_wildcard(source):                             # `src/*.py`: what it matched lies in `src`
        source = source.partition("*")[0].partition("?")[0].partition("[")[0].rpartition("/")[0] + "/x"
    if not name:
        return f"{source}/" if source else ""
    above = source.rpartition("/")[0]
    return f"{above}/" if above else ""


def _file(path: str, was: "tuple[Any, ...] | None", now: "tuple[Any, ...] | None", inputs: Inputs) -> Cause | None:
    if was == now:
        return None
    if was is None:
        return Cause("file", f"{path} is new" + _directory(now), path)
    if now is None:
        by = inputs.excluded(path)
        return Cause("file", f"{path} is excluded now, by {by}" if by else f"{path} is gone" + _directory(was), path)
    mode, uid, gid, size, device, link, xattrs, digest = (a != b for a, b in zip(was, now))
    if was[0] & FORMAT != now[0] & FORMAT:
        return Cause("file", f"{path} is {_kind(now[0])} now, was {_kind(was[0])}", path)
    if digest or size or device:
        return Cause("file", f"{path} content changed", path)
    if link:
        return Cause("file", f"{path} leads to `{now[5]}` now, led to `{was[5]}`", path)
    if mode:
        return Cause("file", f"{path} mode {was[0] & 0o7777:o} -> {now[0] & 0o7777:o}" + _directory(now), path)
    if uid or gid:
        return Cause("file", f"{path} owner {was[1]}:{was[2]} -> {now[1]}:{now[2]}", path)
    assert xattrs
    return Cause("file", f"{path} extended attributes changed", path)


def _directory(row: "tuple[Any, ...] | None") -> str:
    return " (directory)" if row is not None and row[0] & FORMAT == DIRECTORY else ""


def _kind(mode: int) -> str:
    return {DIRECTORY: "a directory", SYMLINK: "a symbolic link"}.get(mode & FORMAT, "a file")
