"""The build checks of the reference, one function each: a Trace goes in, findings come out."""

from lang.confidential import concealed, is_secret
from lang.imagename import problem
from lang.lint.finding import Edit, Finding
from lang.lint.trace import Seen, Trace
from lang.nodes import Add, Arg, Cmd, Copy, Entrypoint, Env, Expose, From, Healthcheck, Label, Maintainer, Shell, Workdir
from lang.scope import SILENT, platform_arguments
from lang.source import Source, Span
from lang.words import expand

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from lang.nodes import Instruction, Raw, Word
    from lang.platform import Platform


def stage_names(trace: Trace) -> "Iterator[Finding]":
    """StageNameCasing, ReservedStageName, DuplicateStageName."""
    known: set[str] = set()
    for begin, _ in trace.groups:
        if begin is None or begin.name is None:
            continue
        word, name = begin.name, begin.name.text.lower()
        if word.text != name:
            yield found(trace, "StageNameCasing", begin.raw, word.span, f"the stage name `{word.text}` has capitals", Edit(word.span, name))
        if name in ("scratch", "context"):
            yield found(trace, "ReservedStageName", begin.raw, word.span, f"the stage name `{name}` is reserved")
        if name in known:
            yield found(trace, "DuplicateStageName", begin.raw, word.span, f"a second stage named `{name}`")
        known.add(name)


def from_as_casing(trace: Trace) -> "Iterator[Finding]":
    for begin, _ in trace.groups:
        if begin is None or begin.name is None:
            continue
        word, keyword = begin.raw.args[1], begin.raw.keyword.text
        wanted = _like(word.text, keyword)
        if _consistent(keyword) and word.text != wanted:
            yield found(trace, "FromAsCasing", begin.raw, word.span, f"`{word.text}` beside `{keyword}`", Edit(word.span, wanted))


def instruction_casing(trace: Trace) -> "Iterator[Finding]":
    """ConsistentInstructionCasing: mixed case, or not that of most; a tie is for capitals."""
    raws = [one.raw for begin, group in trace.groups if begin is not None for one in (begin, *group)]
    words = [raw.keyword.text for raw in raws if _consistent(raw.keyword.text)]
    lower = sum(word.islower() for word in words) * 2 > len(words)
    for raw in raws:
        word = raw.keyword
        wanted = word.text.lower() if lower else word.text.upper()
        if word.text != wanted:
            yield found(trace, "ConsistentInstructionCasing", raw, word.span,
                        f"`{word.text}` where most instructions are in {'small letters' if lower else 'capitals'}", Edit(word.span, wanted))


def empty_continuation(trace: Trace) -> "Iterator[Finding]":
    """NoEmptyContinuation: reported at the last line of the instruction, pointed out where it is."""
    for instruction in trace.dockerfile.instructions:
        raw = instruction.raw
        if raw.blank >= 0:
            line = trace.dockerfile.source.position(raw.text.end)[0]
            yield Finding("NoEmptyContinuation", "an empty line inside an instruction", Span(raw.blank, raw.blank), line)


def maintainer(trace: Trace) -> "Iterator[Finding]":
    for one in _instructions(trace):
        if isinstance(one, Maintainer):
            label = f'LABEL org.opencontainers.image.authors="{_escaped(one.author.text, trace.dockerfile.escape)}"'
            edit = Edit(Span(one.raw.keyword.start, one.raw.text.end), label)
            yield found(trace, "MaintainerDeprecated", one.raw, one.raw.keyword.span, "MAINTAINER is deprecated: a label says it", edit)


def legacy_pairs(trace: Trace) -> "Iterator[Finding]":
    """LegacyKeyValueFormat."""
    for one in _instructions(trace):
        if isinstance(one, Env | Label) and one.raw.legacy:
            name, value = one.raw.args
            yield found(trace, "LegacyKeyValueFormat", one.raw, Span(name.start, value.end),
                        f"the old form of {one.raw.name}: `{one.raw.name} name=value` is the usual one", *_modern(name, value, trace))


def definition_description(trace: Trace) -> "Iterator[Finding]":
    """InvalidDefinitionDescription: the comment above a named FROM or an ARG begins with its name."""
    for one in trace.dockerfile.instructions:
        comments = [comment for comment in one.raw.comments if not comment.text.startswith(("check=", "hadolint "))]
        if isinstance(one, From):
            names = [one.name.text.lower()] if one.name is not None else []
        else:
            names = [pair.name.text for pair in one.pairs] if isinstance(one, Arg) else []
        if comments and names and comments[-1].text.split(" ")[0] not in names:
            yield found(trace, "InvalidDefinitionDescription", one.raw, comments[-1].span,
                        f"the comment above this {one.raw.name} does not begin with `{names[0]}`: an empty comment keeps them apart")


def from_arguments(trace: Trace, target: "Platform", build: "Platform", stage: str, build_args: "Mapping[str, str]") -> "Iterator[Finding]":
    """UndefinedArgInFrom, InvalidDefaultArgInFrom, RedundantTargetPlatform, FromPlatformFlagConstDisallowed."""
    escape = trace.dockerfile.escape
    platform = platform_arguments(target, build, stage)
    declared, defaults, given = _global_arguments(trace, platform, build_args)
    for begin, _ in trace.groups:
        if begin is None:
            continue
        for word in (begin.image, *([begin.platform] if begin.platform else [])):
            for name in _looked_up(word, given, escape)[1]:
                if name not in declared:
                    yield found(trace, "UndefinedArgInFrom", begin.raw, word.span,
                                f"no ARG before the first FROM declares `{name}`{_meant(name, given)}")
        image, _, _ = _looked_up(begin.image, defaults, escape)
        if image is not None and problem(image):
            yield found(trace, "InvalidDefaultArgInFrom", begin.raw, begin.image.span,
                        f"`{begin.image.text}` is no image with the defaults of its arguments")
        if begin.platform is not None:
            yield from _platform(trace, begin, begin.platform, given, str(target))


def _platform(trace: Trace, begin: From, word: "Word", given: "Mapping[str, str]", target: str) -> "Iterator[Finding]":
    value, unset, used = _looked_up(word, given, trace.dockerfile.escape)
    if value == target and used == ["TARGETPLATFORM"] and not unset:
        yield found(trace, "RedundantTargetPlatform", begin.raw, word.span, f"`{word.text}` is the platform anyway")
    if value and not used and not unset:
        name = begin.name.text.lower() if begin.name else ""
        parts = value.split("/")
        if not any(part and part in name for part in parts[:2]):
            yield found(trace, "FromPlatformFlagConstDisallowed", begin.raw, word.span, f"the platform `{value}` is fixed: no other can be built")


def base_platform(trace: Trace, target: "Platform", actual: "Callable[[str, Platform], Platform | None]") -> "Iterator[Finding]":
    """InvalidBaseImagePlatform: asks what platform an image has where it is known."""
    from lang.refs import ImageRef
    for stage in trace.resolution.stages if trace.resolution else ():
        if isinstance(stage.base, ImageRef):
            wanted = stage.platform or target
            has = actual(stage.base.name, wanted)
            if has is not None and (has.os, has.architecture) != (wanted.os, wanted.architecture):
                yield found(trace, "InvalidBaseImagePlatform", stage.start.raw, stage.start.image.span,
                            f"the image `{stage.base.name}` is for {has}, not for {wanted}")


def undefined_variables(trace: Trace) -> "Iterator[Finding]":
    """UndefinedVar: a word looks up what no ARG or ENV has given or declared."""
    declared: dict[int, set[str]] = {}
    for seen in trace.seen:
        names = {name for number in (seen.stage.number, *_below(seen, trace)) for name in declared.get(number, ())}
        told: set[tuple[str, int]] = set()
        for name, word in () if isinstance(seen.instruction, Expose) else seen.unset:
            if name not in names and name not in SILENT and (name, word.start) not in told:
                told.add((name, word.start))
                yield found(trace, "UndefinedVar", seen.instruction.raw, word.span, f"`${name}` is not set{_meant(name, seen.variables, '$')}")
        if isinstance(seen.instruction, Arg):
            declared.setdefault(seen.stage.number, set()).update(pair.name.text for pair in seen.instruction.pairs)


def relative_workdir(trace: Trace) -> "Iterator[Finding]":
    """WorkdirRelativePath: the first WORKDIR of a stage and of those below it."""
    known: set[int] = set()
    for seen in trace.seen:
        if isinstance(seen.instruction, Workdir):
            path = _value(seen, seen.instruction.path, trace)
            if not known & {seen.stage.number, *_below(seen, trace)} and not path.startswith("/"):
                yield found(trace, "WorkdirRelativePath", seen.instruction.raw, seen.instruction.path.span,
                            f"`{path}` is relative to whatever the base image has")
            known.add(seen.stage.number)


def repeated(trace: Trace) -> "Iterator[Finding]":
    """MultipleInstructionsDisallowed: reported at the one that has no effect."""
    walked = {id(seen.instruction) for seen in trace.seen}
    for _, group in trace.groups[1:]:
        last: dict[str, Instruction] = {}
        for one in group:
            if isinstance(one, Cmd | Entrypoint | Healthcheck) and id(one) in walked:
                before = last.get(one.raw.name)
                if before is not None:
                    yield found(trace, "MultipleInstructionsDisallowed", before.raw, before.raw.keyword.span,
                                f"a later {one.raw.name} of this stage takes the place of this one")
                last[one.raw.name] = one


def json_arguments(trace: Trace) -> "Iterator[Finding]":
    """JSONArgsRecommended: without a SHELL of one's own, nobody asked for a shell."""
    for seen in trace.seen:
        one = seen.instruction
        if isinstance(one, Cmd | Entrypoint) and isinstance(one.command, Shell) and not seen.settings.shell:
            yield found(trace, "JSONArgsRecommended", one.raw, one.command.text.span if one.raw.args else one.raw.keyword.span,
                        f"{one.raw.name} through a shell, which does not pass signals on: a JSON array runs the program itself",
                        *(() if _paired(seen, one) else _as_json(one)))


def secrets(trace: Trace) -> "Iterator[Finding]":
    """SecretsUsedInArgOrEnv."""
    for seen in trace.seen:
        one = seen.instruction
        for pair in one.pairs if isinstance(one, Arg | Env) else ():
            if is_secret(pair.name.text):
                yield found(trace, "SecretsUsedInArgOrEnv", one.raw, pair.name.span,
                            f"`{pair.name.text}` stays in the image: RUN --mount=type=secret does not")


def ignored_sources(trace: Trace, ignored: "Callable[[str], bool]") -> "Iterator[Finding]":
    """CopyIgnoredFile. ignored: whether the ignore file leaves a path out."""
    from posixpath import normpath
    for seen in trace.seen:
        one = seen.instruction
        if not isinstance(one, Copy | Add) or (isinstance(one, Copy) and one.origin is not None):
            continue
        for word in one.sources:
            path = _value(seen, word, trace)
            if path and not path.startswith(("http://", "https://", "<<")) and "://" not in path and ignored(normpath(path).lstrip("/") or "."):
                yield found(trace, "CopyIgnoredFile", one.raw, word.span, f"`{path}` is left out by the ignore file")


def ports(trace: Trace) -> "Iterator[Finding]":
    """ExposeProtoCasing, ExposeInvalidFormat."""
    from lang.errors import LangError
    from lang.words import expand_words
    for seen in trace.seen:
        one = seen.instruction
        for word in one.ports if isinstance(one, Expose) else ():
            try:
                texts = expand_words(word.text, seen.variables, trace.dockerfile.escape)
            except LangError:
                texts = []
            for text in texts:
                protocol = text.rpartition(":")[2].partition("/")[2]
                if protocol != protocol.lower():
                    edit = [Edit(word.span, word.text.lower())] if word.text == text else []
                    yield found(trace, "ExposeProtoCasing", one.raw, word.span, f"the protocol of `{text}` has capitals", *edit)
                if ":" in text:
                    yield found(trace, "ExposeInvalidFormat", one.raw, word.span, f"`{text}` names a port of the host, which an image cannot")


def found(trace: Trace, rule: str, raw: "Raw", span: Span, message: str, *edits: Edit) -> Finding:
    """A finding about an instruction, reported at its first line."""
    source = trace.dockerfile.source
    return Finding(rule, concealed(message), span, source.position(raw.span.start)[0], edits if _in_text(span, source) else ())


def _in_text(span: Span, source: Source) -> bool:
    """Whether a span is in the file itself: one of an included file, or of a trigger, is not mended."""
    return not source.included or span.end < source.included[0][0]


def _instructions(trace: Trace) -> "Iterator[Instruction]":
    return iter(trace.dockerfile.instructions)


def _consistent(word: str) -> bool:
    return word in (word.lower(), word.upper())


def _like(word: str, other: str) -> str:
    return word.upper() if other.isupper() else word.lower()


def _global_arguments(trace: Trace, platform: "Mapping[str, str]",
                      build_args: "Mapping[str, str]") -> "tuple[set[str], dict[str, str], dict[str, str]]":
    """Names declared before the first FROM; their values by default; and with the build arguments."""
    declared: set[str] = set()
    defaults, given = dict(platform), dict(platform)
    for one in trace.groups[0][1]:
        for pair in one.pairs if isinstance(one, Arg) else ():
            name = pair.name.text
            declared.add(name)
            for values, override in ((defaults, {}), (given, build_args)):
                value = override.get(name) if name in override else _looked_up(pair.value, values, trace.dockerfile.escape)[0] if pair.value else None
                if value is not None:
                    values[name] = value
    return declared, defaults, given


class _Recording(dict[str, str]):
    """Variables that remember which of them were used."""

    def __init__(self, values: "Mapping[str, str]") -> None:
        super().__init__(values)
        self.used: list[str] = []

    def get(self, name: str, default: "str | None" = None) -> "str | None":      # type: ignore[override]
        if name in self and name not in self.used:
            self.used.append(name)
        return super().get(name, default)


def _looked_up(word: "Word", values: "Mapping[str, str]", escape: str) -> "tuple[str | None, list[str], list[str]]":
    """The word expanded (None if it cannot be), the names that are not set, the names that are."""
    from lang.errors import LangError
    unset: list[str] = []
    recording = _Recording(values)
    try:
        value = expand(word.text, recording, escape, unset)
    except LangError:
        return None, list(dict.fromkeys(unset)), recording.used
    return value, list(dict.fromkeys(unset)), recording.used


def _value(seen: Seen, word: "Word", trace: Trace) -> str:
    return _looked_up(word, seen.variables, trace.dockerfile.escape)[0] or ""


def _below(seen: Seen, trace: Trace) -> "list[int]":
    """The numbers of the stages that the stage of an instruction is based on."""
    from lang.refs import StageRef
    found: list[int] = []
    stage = seen.stage
    while trace.resolution and isinstance(stage.base, StageRef):
        stage = trace.resolution.stages[stage.base.number]
        found.append(stage.number)
    return found


def _meant(name: str, known: "Mapping[str, str]", prefix: str = "") -> str:
    from lang.suggest import nearest
    hint = nearest(name, known, prefix)
    return f", {hint}" if hint else ""


def _modern(name: "Word", value: "Word", trace: Trace) -> "list[Edit]":
    """`name value` as `name=value`, in quotes where it must be; none where that could change what it says."""
    text = value.text
    if name.breaks or value.breaks or any(mark in text + name.text for mark in "'\"") or trace.dockerfile.escape in text + name.text:
        return []
    if text.split() != [text]:
        text = f'"{text}"'
    return [Edit(Span(name.start, value.end), f"{name.text}={text}")]


def _paired(seen: Seen, one: "Cmd | Entrypoint") -> bool:
    """Whether CMD and ENTRYPOINT meet: what a shell keeps apart, an array would put together."""
    other = Entrypoint if isinstance(one, Cmd) else Cmd
    return any(isinstance(instruction, other) for instruction in seen.stage.instructions) or (other is Entrypoint and bool(seen.settings.entrypoint))


def _as_json(one: "Cmd | Entrypoint") -> "list[Edit]":
    """A shell command as an array, if a shell would do nothing but split it."""
    assert isinstance(one.command, Shell)
    word = one.command.text
    if not word.text or word.breaks or word.text.strip("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789 \t-_./:,@%+=") \
            or "=" in word.text.split()[0] or word.text.split()[0] in BUILTINS:
        return []
    return [Edit(word.span, "[" + ", ".join(f'"{part}"' for part in word.text.split()) + "]")]


BUILTINS = {".", ":", "break", "cd", "command", "continue", "eval", "exec", "exit", "export", "readonly", "return", "set", "shift", "source",
            "test", "times", "trap", "ulimit", "umask", "unset", "wait", "if", "for", "while", "until", "case"}


def _escaped(text: str, escape: str) -> str:
    return "".join(escape + c if c in '"$' + escape else c for c in text)
