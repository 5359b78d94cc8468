"""What a Dockerfile offers to whoever builds it: its targets, and a target's arguments, secrets and ssh sockets.

The values are the JSON that buildx prints for `--call=targets` and `--call=outline`: dicts, lists, text.
"""

from itertools import takewhile

from lang.nodes import Arg, From
from lang.refs import StageRef
from lang.source import Source, Span
from lang.words import variables

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from typing import Any

    from lang.evaluate import Evaluated
    from lang.nodes import Dockerfile, Raw
    from lang.stages import Resolution, Stage


def targets(dockerfile: "Dockerfile") -> "dict[str, Any]":
    """The stages in order; the last one is the default."""
    from lang.stages import grouped
    begins = [begin for begin, _ in grouped(dockerfile.instructions) if begin is not None]
    found = []
    for begin in begins:
        name = begin.name.text.lower() if begin.name else ""
        found.append(_some({
            "name": name, "default": begin is begins[-1], "description": description(begin.raw, name), "base": begin.image.text,
            "platform": begin.platform.text if begin.platform else "", "location": _location(dockerfile.source, begin.raw.span)}))
    return {"targets": found, "sources": [_base64(dockerfile.source)]}


def outline(resolution: "Resolution", walked: "Mapping[int, Evaluated]") -> "dict[str, Any]":
    """What the target and the stages that it needs take from outside.

    walked: those stages, evaluated.
    """
    target = resolution.stages[resolution.target]
    source = resolution.dockerfile.source
    order = list(_needed(resolution, target))
    mounts = [(mount, step.span) for stage in order if stage.number in walked
              for step in walked[stage.number].steps for mount in getattr(step, "mounts", ())]
    return _some({
        "name": target.name, "description": description(target.start.raw, target.name), "args": _arguments(resolution, order, walked),
        "secrets": _mounts(mounts, "SecretMount", source), "ssh": _mounts(mounts, "SshMount", source), "sources": [_base64(source)]})


def description(raw: "Raw", name: str) -> str:
    """What a comment `# name text` above an instruction says of `name`, "" if there is none."""
    start = name + " "
    return next((comment.text[len(start):].strip() for comment in raw.comments if name and comment.text.startswith(start)), "")


def _needed(resolution: "Resolution", target: "Stage") -> "Iterator[Stage]":
    """The target, what it is based on, what it takes files from; each once."""
    ahead, known = [target], set()
    while ahead:
        stage = ahead.pop(0)
        if stage.number not in known:
            known.add(stage.number)
            yield stage
            ahead += [resolution.stages[ref.number] for ref in (stage.base, *(need.ref for need in stage.needs)) if isinstance(ref, StageRef)]


def _arguments(resolution: "Resolution", order: "Iterable[Stage]", walked: "Mapping[int, Evaluated]") -> "list[dict[str, Any]]":
    """The arguments that the stages declare or their FROM uses, and those that the defaults of these use."""
    dockerfile = resolution.dockerfile
    values = dict(resolution.arguments)
    everywhere: dict[str, tuple[Arg, str]] = {}
    uses: dict[str, list[str]] = {}
    for begin in takewhile(lambda one: not isinstance(one, From), dockerfile.instructions):
        for pair in begin.pairs if isinstance(begin, Arg) else ():
            assert isinstance(begin, Arg)
            everywhere[pair.name.text] = (begin, values.get(pair.name.text, ""))
            uses[pair.name.text] = variables(pair.value.text, dockerfile.escape) if pair.value else []
    found: dict[str, tuple[Arg, str]] = {}
    for stage in order:
        words = [word.text for word in (stage.start.image, stage.start.platform) if word is not None]
        _take(found, everywhere, _closed([name for word in words for name in variables(word, dockerfile.escape)], uses))
        given = dict(walked[stage.number].scope.arguments) if stage.number in walked else {}
        for one in stage.instructions:
            for pair in one.pairs if isinstance(one, Arg) else ():
                assert isinstance(one, Arg)
                name = pair.name.text
                if pair.value is not None or name in dict(resolution.build_args) or name not in everywhere:
                    found.setdefault(name, (one, given.get(name, "")))
                else:
                    _take(found, everywhere, _closed([name], uses))
    listed = sorted(found.items(), key=lambda item: item[1][0].raw.span.start)
    return [_some({"name": name, "description": description(one.raw, name), "value": value, "location": _location(dockerfile.source, one.raw.span)})
            for name, (one, value) in listed]


def _take(found: "dict[str, tuple[Arg, str]]", everywhere: "Mapping[str, tuple[Arg, str]]", names: "Iterable[str]") -> None:
    for name in names:
        if name in everywhere:
            found.setdefault(name, everywhere[name])


def _closed(names: "Iterable[str]", uses: "Mapping[str, list[str]]") -> "list[str]":
    """Names and all that they use, and so on."""
    found: list[str] = []
    ahead = list(names)
    while ahead:
        name = ahead.pop(0)
        if name not in found:
            found.append(name)
            ahead += uses.get(name, [])
    return found


def _mounts(mounts: "Iterable[tuple[Any, Span]]", kind: str, source: Source) -> "list[dict[str, Any]]":
    found: dict[str, dict[str, Any]] = {}
    for mount, span in mounts:
        if type(mount).__name__ == kind:
            found.setdefault(mount.id, _some({"name": mount.id, "required": mount.required, "location": _location(source, span)}))
    return sorted(found.values(), key=lambda item: int(item["location"]["ranges"][0]["start"]["line"]))


def _location(source: Source, span: Span) -> "dict[str, Any]":
    return {"ranges": [{"start": {"line": source.position(span.start)[0]}, "end": {"line": source.position(span.end)[0]}}]}


def _some(values: "dict[str, Any]") -> "dict[str, Any]":
    """Without what is empty, as Go's omitempty leaves it out."""
    return {name: value for name, value in values.items() if value}


def _base64(source: Source) -> str:
    from binascii import b2a_base64
    end = source.file(0)[2]
    return b2a_base64(source.text[:end].encode("utf-8", "surrogateescape"), newline=False).decode()
