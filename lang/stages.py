"""A Dockerfile -> its stages: what each is based on, what else it needs, which of them the target needs.

A later step may find more needs: the triggers that a base image brings with it. `with_triggers` gives the stages again, linked anew.
"""

from kernel.value import Value
from lang.errors import CircularStage, LangError, SyntaxFault, UndefinedStage, UnknownTarget, together
from lang.imagename import familiar, problem
from lang.nodes import Arg, Copy, Dockerfile, From, Onbuild, Run, Word
from lang.platform import Platform, parse_platform
from lang.refs import ImageRef, NamedRef, Scratch, StageRef
from lang.scope import Expander, platform_arguments
from lang.source import Source, Span

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from lang.nodes import Instruction
    from lang.refs import Ref

LISTED = 20                                               # stages that one line names


class Need(Value):
    """Something that an instruction of a stage takes files from, and where it says so."""

    ref: "Ref"
    source: Source
    span: Span


class Stage(Value):
    """One FROM and what follows it.

    base: NamedRef also where the user put a context of its own in the stage's place; then there are no instructions.
    platform: None is the target's. needs: what COPY --from and mounts name, its triggers included.
    """

    number: int                                           # from 0
    name: str                                             # in small letters, "" for none
    base: "Ref"
    platform: "Platform | None"
    instructions: "tuple[Instruction, ...]"
    needs: "tuple[Need, ...]"
    reachable: bool                                       # the target needs it
    start: From


class Resolution(Value):
    """The stages of a file for one target. arguments: what FROM sees, and what ARG without a value takes over."""

    dockerfile: Dockerfile
    stages: "tuple[Stage, ...]"
    target: int
    arguments: "tuple[tuple[str, str], ...]"
    build_args: "tuple[tuple[str, str], ...]"
    target_platform: Platform
    build_platform: Platform
    named: "Callable[[str], bool]"

    def refer(self, name: str, source: Source, span: Span) -> "Ref":
        """What `--from=name` means. Raises LangError."""
        return _refer(name, self.stages, self.named, self.target_platform, source, span)

    def triggers(self, stage: Stage) -> "tuple[str, ...]":
        """The triggers that a stage gets from the stage that it is based on; those of images are not known here."""
        return _triggers(self.stages, stage)


def resolve(dockerfile: Dockerfile, *, build_args: "Mapping[str, str]", target: "str | None", target_platform: Platform,
            build_platform: Platform, named: "Callable[[str], bool]" = lambda name: False,
            unset: "list[tuple[str, Word]] | None" = None, faults: "list[LangError] | None" = None) -> Resolution:
    """The stages of a Dockerfile.

    named: whether the user gave a context of that name. unset: collects the names without a value that FROM looked up.
    faults: takes what is wrong, and the stages are those of the rest; a stage whose FROM is wrong has no instructions then.
    Raises LangError: for several errors LangErrors.
    """
    expander = Expander(dockerfile.source, dockerfile.escape, unset)
    arguments = {**platform_arguments(target_platform, build_platform, target or "")}
    arguments |= {name: build_args[name] for name in arguments if name in build_args}
    stages: list[Stage] = []
    errors: list[LangError] = []
    for begin, group in grouped(dockerfile.instructions):
        try:
            if begin is None:
                _declare(group, arguments, build_args, expander)
            else:
                stages.append(_stage(begin, group, tuple(stages), arguments, target_platform, named, expander))
        except LangError as error:
            errors.append(error)
            if begin is not None:                         # the others may go on naming it
                name = begin.name.text.lower() if begin.name else ""
                stages.append(Stage(len(stages), name, Scratch(), None, (), (), False, begin))
    if not stages and not errors:
        errors.append(SyntaxFault(dockerfile.source, dockerfile.instructions[0].raw.keyword.span, "no FROM in this file"))
    if errors and (faults is None or not stages):
        raise together(errors)
    if faults is not None:
        faults += errors
    number = _target(target, stages, dockerfile.source)
    found = Resolution(dockerfile, tuple(stages), number, tuple(arguments.items()), tuple(build_args.items()), target_platform, build_platform, named)
    return with_triggers(found, {}, faults)


def with_triggers(resolution: Resolution, triggers: "Mapping[int, Sequence[str]]", faults: "list[LangError] | None" = None) -> Resolution:
    """The stages linked anew, with the ONBUILD triggers that images bring to the stages of these numbers. faults: as for `resolve`.

    Raises LangError for what a reachable stage cannot take from, CircularStage for stages that need each other.
    """
    undefined: dict[int, list[LangError]] = {}            # number of a stage -> what it takes from that is nothing
    stages = []
    for stage in resolution.stages:
        fired = (*resolution.triggers(stage), *triggers.get(stage.number, ()))
        stages.append(stage._replace(needs=tuple(_needs(resolution, stage, fired, undefined.setdefault(stage.number, [])))))
    reachable = _reachable(stages, resolution.target)
    found = tuple(stage._replace(reachable=stage.number in reachable) for stage in stages)
    errors = [error for number, those in undefined.items() for error in those if number in reachable or _is_fatal(error)]
    errors += _circles(found) or _later(found)
    if errors and faults is None:
        raise together(errors)
    if faults is not None:
        faults += errors
    return resolution._replace(stages=found)


def unused_arguments(resolution: Resolution) -> "tuple[str, ...]":
    """The build arguments that no ARG of the file declares and that mean nothing by themselves."""
    from lang.scope import PROXIES
    declared = {pair.name.text for one in resolution.dockerfile.instructions if isinstance(one, Arg) for pair in one.pairs}
    declared |= {name for name, _ in resolution.arguments} - {name for name, _ in resolution.build_args}
    declared |= set(platform_arguments(resolution.target_platform, resolution.build_platform, ""))
    return tuple(name for name, _ in resolution.build_args
                 if name not in declared and name.upper() not in PROXIES and not name.startswith("BUILDKIT_") and name != "SOURCE_DATE_EPOCH")


def grouped(instructions: "Iterable[Instruction]") -> "Iterable[tuple[From | None, tuple[Instruction, ...]]]":
    """The instructions before the first FROM, then each FROM with those that follow it."""
    begin: From | None = None
    group: list[Instruction] = []
    for instruction in instructions:
        if isinstance(instruction, From):
            yield begin, tuple(group)
            begin, group = instruction, []
        else:
            group.append(instruction)
    yield begin, tuple(group)


def _declare(group: "tuple[Instruction, ...]", arguments: dict[str, str], build_args: "Mapping[str, str]", expander: Expander) -> None:
    """The ARGs before the first FROM, each seeing those before it."""
    for instruction in group:
        for pair in instruction.pairs if isinstance(instruction, Arg) else ():
            name = pair.name.text
            if name in build_args:
                arguments[name] = build_args[name]
            elif pair.value is not None:
                arguments[name] = expander.word(pair.value, arguments)


def _stage(begin: From, group: "tuple[Instruction, ...]", before: "tuple[Stage, ...]", arguments: "Mapping[str, str]",
           target_platform: Platform, named: "Callable[[str], bool]", expander: Expander) -> Stage:
    image = expander.word(begin.image, arguments)
    source = expander.source
    if not image:
        raise SyntaxFault(source, begin.image.span, f"`{begin.image.text}` is blank: no image to begin from",
                          "a default can be given before the first FROM: ARG NAME=value" if "$" in begin.image.text else "")
    platform = None
    if begin.platform is not None and begin.platform.text:
        text = expander.word(begin.platform, arguments)
        if not text:
            raise SyntaxFault(source, begin.platform.span, f"`{begin.platform.text}` is blank: no platform")
        try:
            platform = parse_platform(text, target_platform)
        except ValueError as error:
            raise SyntaxFault(source, begin.platform.span, str(error), "for example `linux/arm64`") from None
    name = begin.name.text.lower() if begin.name else ""
    number = len(before)
    instead = _named(name, platform or target_platform, named) if name else None
    if instead is not None:
        return Stage(number, name, instead, platform, (), (), False, begin)
    earlier = next((stage for stage in reversed(before) if stage.name and stage.name == image), None)
    if earlier is not None:
        return Stage(number, name, StageRef(earlier.number), earlier.platform, group, (), False, begin)
    if image == "scratch":
        return Stage(number, name, Scratch(), None, group, (), False, begin)
    return Stage(number, name, _image(image, platform or target_platform, named, source, begin.image.span), platform, group, (), False, begin)


def _image(name: str, platform: Platform, named: "Callable[[str], bool]", source: Source, span: Span) -> "Ref":
    wrong = problem(name)
    if wrong:
        small = name.lower()
        raise SyntaxFault(source, span, wrong, f"in small letters: `{small}`" if small != name and not problem(small) else "")
    return _named(name, platform, named) or ImageRef(name)


def _named(name: str, platform: Platform, named: "Callable[[str], bool]") -> "NamedRef | None":
    """The context that the user put in the place of an image or stage of that name, for this platform or for all."""
    short = familiar(name)
    if short.lower() in ("scratch", "context"):
        return None
    return next((NamedRef(candidate) for candidate in (f"{short}::{platform}", short) if named(candidate)), None)


def _refer(name: str, stages: "Sequence[Stage]", named: "Callable[[str], bool]", platform: Platform, source: Source, span: Span) -> "Ref":
    number = _number(name)
    if number is not None:
        if not 0 <= number < len(stages):
            raise UndefinedStage(source, span, name, f"stages are counted from 0: the last is {len(stages) - 1}")
        return StageRef(number)
    found = next((stage for stage in reversed(stages) if stage.name and stage.name == name.lower()), None)
    if found is not None:
        return StageRef(found.number)
    if name == "scratch":
        return Scratch()
    try:
        return _image(name, platform, named, source, span)
    except SyntaxFault:
        small = name.lower()
        help = meant(name, stages, source) or (f"the names of images are in small letters: `{small}`" if small != name and not problem(small) else "")
        raise UndefinedStage(source, span, name, help) from None


def _number(name: str) -> "int | None":
    """The number of a stage that `--from` names, -1 for one that is too large; None for what is no number."""
    digits = name[1:] if name[:1] in ("+", "-") else name
    if not (digits.isascii() and digits.isdecimal()):
        return None
    return int(name) if len(name) < 10 else -1


def meant(name: str, stages: "Sequence[Stage]", source: Source) -> str:
    """A help line that names the stage which `name` was probably to be, "" if none is near: also for an image that is not found."""
    from lang.suggest import nearest
    found = nearest(name, [stage.name for stage in stages if stage.name])
    stage = next((stage for stage in stages if f"`{stage.name}`" in found), None)
    return f"{found} (stage at line {source.position(stage.start.raw.span.start)[0]})" if stage else ""


def _target(target: "str | None", stages: "Sequence[Stage]", source: Source) -> int:
    if not target:
        return len(stages) - 1
    found = next((stage for stage in reversed(stages) if stage.name and stage.name == target.lower()), None)
    if found is None:
        raise UnknownTarget(source, target, _targets(target, stages, source))
    return found.number


def _targets(target: str, stages: "Sequence[Stage]", source: Source) -> str:
    """A help line: what was probably meant, and what there is."""
    from lang.suggest import nearest
    named = [f"`{stage.name}` (line {_line(stage, source)})" for stage in stages if stage.name]
    if not named:
        return "no stage has a name: FROM ... AS name gives it one"
    listed = f"the stages with a name are {', '.join(named[:LISTED])}" + (f", and {len(named) - LISTED} more" if named[LISTED:] else "")
    near = nearest(target, [stage.name for stage in stages if stage.name])
    return f"{near} {listed}" if near else listed


def _triggers(stages: "Sequence[Stage]", stage: Stage) -> "tuple[str, ...]":
    if not isinstance(stage.base, StageRef):
        return ()
    return tuple(one.trigger for one in stages[stage.base.number].instructions if isinstance(one, Onbuild))


def _is_fatal(error: LangError) -> bool:
    """Whether an error is one even in a stage that nobody needs: there a name may be no image's, but a number must be a stage's."""
    return not isinstance(error, UndefinedStage) or _number(error.stage) is not None


def _needs(resolution: Resolution, stage: Stage, triggers: "Sequence[str]", errors: "list[LangError]") -> "Iterable[Need]":
    """What the instructions of a stage, and its triggers, take files from. errors: is given what is wrong with the rest."""
    source, dialect = resolution.dockerfile.source, resolution.dockerfile.dialect
    sources = [(instruction, source) for instruction in stage.instructions if isinstance(instruction, Copy | Run)]
    for text in triggers:
        from lang.parser import parse_instruction
        try:
            instruction, place = parse_instruction(text, "<trigger>", dialect)
        except LangError:
            continue                                      # said when the trigger fires
        if isinstance(instruction, Copy | Run):
            sources.append((instruction, place))
    for instruction, place in sources:
        try:
            for name, span in origins(instruction, place, resolution):
                yield Need(resolution.refer(name, place, span), place, span)
        except LangError as error:
            errors.append(error)


def origins(instruction: "Copy | Run", source: Source, resolution: Resolution) -> "Iterable[tuple[str, Span]]":
    """What --from and the mounts of an instruction name, and where."""
    if isinstance(instruction, Copy):
        if instruction.origin is not None and instruction.origin.text:
            yield constant(instruction.origin.text, instruction.origin, source, resolution), instruction.origin.span
        return
    for mount in instruction.mounts:
        from lang.mount import origin
        field = origin(mount, source)
        if field is not None and field.value:
            yield constant(field.value, field.text, source, resolution), field.text.span


def constant(text: str, word: Word, source: Source, resolution: Resolution) -> str:
    """What `--from` or a mount's `from` names: as it is written.

    With `# syntax=pybuild` it may have variables: those that are known before anything runs, the arguments of FROM. Raises LangError.
    """
    if "$" not in text or not resolution.dockerfile.dialect:
        return text
    unset: list[tuple[str, Word]] = []
    name = Expander(source, resolution.dockerfile.escape, unset).text(text, word, dict(resolution.arguments))
    if unset or not name:
        variable = unset[0][0] if unset else text
        raise SyntaxFault(source, word.span, f"`{variable}` is not known when the build is planned", "declare it with ARG before the first FROM")
    return name


def _reachable(stages: "Sequence[Stage]", target: int) -> "set[int]":
    found: set[int] = set()
    ahead = [target]
    while ahead:
        number = ahead.pop()
        if number not in found:
            found.add(number)
            stage = stages[number]
            ahead += [ref.number for ref in (stage.base, *(need.ref for need in stage.needs)) if isinstance(ref, StageRef)]
    return found


def _circles(stages: "Sequence[Stage]") -> "list[LangError]":
    """Stages that take files from themselves, by way of the files of others."""
    for stage in stages:
        for need in stage.needs:
            if isinstance(need.ref, StageRef) and stage.number in _taken(stages, need.ref.number):
                name = stage.name or str(stage.number)
                way = "itself" if need.ref.number == stage.number else f"`{stages[need.ref.number].name or need.ref.number}`, which needs it"
                return [CircularStage(need.source, need.span, f"the stage `{name}` takes files from {way}")]
    return []


def _taken(stages: "Sequence[Stage]", number: int) -> "set[int]":
    found: set[int] = set()
    ahead = [number]
    while ahead:
        number = ahead.pop()
        if number not in found:
            found.add(number)
            ahead += [need.ref.number for need in stages[number].needs if isinstance(need.ref, StageRef)]
    return found


def _later(stages: "Sequence[Stage]") -> "list[LangError]":
    """What reachable stages take from stages that come after them."""
    return [UndefinedStage(need.source, need.span, stages[need.ref.number].name or str(need.ref.number),
                           "a stage takes files from those before it", _line(stages[need.ref.number], need.source))
            for stage in stages if stage.reachable for need in stage.needs
            if isinstance(need.ref, StageRef) and need.ref.number >= stage.number]


def _line(stage: Stage, source: Source) -> int:
    return source.position(stage.start.raw.span.start)[0]
