"""What rules look at: the file's stages as they stand, and what was seen while they were walked."""

from kernel.value import Value
from lang.config import PATH, SCRATCH, Settings
from lang.errors import LangError, together
from lang.evaluate import Evaluated, evaluate
from lang.nodes import Dockerfile, From, Word
from lang.platform import Platform
from lang.refs import ImageRef, NamedRef, Scratch, StageRef
from lang.stages import Resolution, Stage, grouped, resolve

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from lang.nodes import Instruction
    from lang.refs import Ref


class Seen(Value):
    """An instruction that was walked: the variables and the config before it, and the names it looked up in vain."""

    stage: Stage
    instruction: "Instruction"
    variables: "Mapping[str, str]"
    settings: Settings
    unset: "tuple[tuple[str, Word], ...]"


class Trace(Value):
    """groups: each FROM with its instructions, those before the first under None. error: what kept stages from being walked to their end."""

    dockerfile: Dockerfile
    groups: "tuple[tuple[From | None, tuple[Instruction, ...]], ...]"
    resolution: "Resolution | None"
    seen: "tuple[Seen, ...]"
    error: "LangError | None"


PLAIN = Settings(env=(("PATH", PATH),))


def trace(dockerfile: Dockerfile, *, build_args: "Mapping[str, str]", target: "str | None", target_platform: Platform, build_platform: Platform,
          named: "Callable[[str], bool]", base: "Callable[[Ref, Platform], Settings | None]", every: bool = True) -> Trace:
    """Walk every stage that a rule may look at.

    every: all of them, not only those that the target needs.
    base: the config of an image, None if it is not known.
    """
    groups = tuple(grouped(dockerfile.instructions))
    seen: list[Seen] = []
    try:
        resolution = resolve(dockerfile, build_args=build_args, target=target, target_platform=target_platform, build_platform=build_platform,
                             named=named)
    except LangError as error:
        return Trace(dockerfile, groups, None, (), error)
    done: dict[int, Evaluated] = {}
    errors: list[LangError] = []
    for stage in resolution.stages:
        if (stage.reachable or every) and not (isinstance(stage.base, StageRef) and stage.base.number not in done):
            try:
                done[stage.number] = _walk(stage, resolution, done, base, seen)
            except LangError as error:
                errors.append(error)
    return Trace(dockerfile, groups, resolution, tuple(seen), together(errors) if errors else None)


def _walk(stage: Stage, resolution: Resolution, done: "Mapping[int, Evaluated]", base: "Callable[[Ref, Platform], Settings | None]",
          seen: "list[Seen]") -> Evaluated:
    own = {id(instruction) for instruction in stage.instructions}

    def observe(instruction: "Instruction", unset: "list[tuple[str, Word]]", variables: "Mapping[str, str]", settings: Settings) -> None:
        if id(instruction) in own:                        # a trigger stands in another file, or is linted where it stands
            seen.append(Seen(stage, instruction, variables, settings, tuple(unset)))
    match stage.base:
        case StageRef(number):
            below = done[number]
            return evaluate(stage, below.settings, resolution, below.scope, observe)
        case Scratch():
            return evaluate(stage, SCRATCH, resolution, None, observe)
        case ImageRef() | NamedRef():
            known = base(stage.base, stage.platform or resolution.target_platform)
            return evaluate(stage, PLAIN if known is None else known, resolution, None, observe)

