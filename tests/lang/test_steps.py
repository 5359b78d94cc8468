"""Golden steps: what a Dockerfile comes down to, stage by stage. A folder in steps/ is a case; `arguments` is what the user gave.

PYBUILD_GOLDEN=1 writes what comes out now; read the difference before committing it.
"""

import os
from pathlib import Path
from typing import Any

import pytest

from lang.config import PATH, SCRATCH, Settings
from lang.evaluate import Evaluated, Scope, evaluate
from lang.parser import parse
from lang.platform import Platform, parse_platform
from lang.refs import Scratch, StageRef
from lang.source import Source, decode
from lang.stages import Resolution, Stage, resolve, unused_arguments

CASES = sorted(path.name for path in Path(__file__).with_name("steps").iterdir())
AMD64 = Platform("linux", "amd64")
IMAGE = Settings(env=(("PATH", PATH), ("FROM_IMAGE", "1")), cmd=("sh",), working_dir="/image")
HIDDEN = ("created_by", "layer", "label", "span")


def value(item: Any) -> str:
    """A value in one line, without its fields that say nothing."""
    if hasattr(item, "_asdict"):
        fields = ", ".join(f"{name}={value(field)}" for name, field in item._asdict().items() if says(field))
        return f"{type(item).__name__}({fields})"
    return f"({', '.join(value(part) for part in item)})" if isinstance(item, tuple) else repr(item)


def says(field: Any) -> bool:
    return field is not False and field not in ("", None, ())


def resolved(text: str, arguments: str) -> Resolution:
    given: dict[str, list[str]] = {}
    for line in arguments.splitlines():
        name, _, text_of = line.partition(" ")
        given.setdefault(name, []).append(text_of)
    build_args = {name: rest for name, _, rest in (pair.partition("=") for pair in given.get("--build-arg", []))}
    return resolve(
        parse(Source("Dockerfile", text)), build_args=build_args, target=given.get("--target", [""])[0], build_platform=AMD64,
        target_platform=parse_platform(given.get("--platform", ["linux/amd64"])[0], AMD64), named=given.get("--named", []).__contains__)


def heading(stage: Stage, target: int) -> str:
    words = [f"stage {stage.number} {stage.name or '-'} from {value(stage.base)}"]
    words += [f"for {stage.platform}"] if stage.platform else []
    words += [f"needs {', '.join(value(need.ref) for need in stage.needs)}"] if stage.needs else []
    words += ["(target)"] if stage.number == target else []
    return " ".join(words + ([] if stage.reachable else ["(not needed)"]))


def drawn(text: str, arguments: str) -> str:
    found = resolved(text, arguments)
    out = [f"unused: {' '.join(unused)}"] if (unused := unused_arguments(found)) else []
    done: dict[int, Evaluated] = {}
    for stage in found.stages:
        out.append(heading(stage, found.target))
        if not stage.reachable:
            continue
        outside = Evaluated((), SCRATCH if isinstance(stage.base, Scratch) else IMAGE, Scope())
        below = done[stage.base.number] if isinstance(stage.base, StageRef) else outside
        done[stage.number] = walked = evaluate(stage, below.settings, found, below.scope)
        for step in walked.steps:
            out.append(f"  {step.created_by!r}{'' if step.layer else ' (empty)'}")
            if step.label != step.created_by.removesuffix(" # buildkit"):
                out.append(f"    label={step.label!r}")
            out += [f"    {name}={value(field)}" for name, field in step._asdict().items() if name not in HIDDEN and says(field)]
        out += [f"  {name}: {value(field)}" for name, field in walked.settings._asdict().items() if field != getattr(below.settings, name)]
    return "\n".join(out).replace(PATH, "...") + "\n"


@pytest.mark.parametrize("case", CASES)
def test_steps(case: str) -> None:
    folder = Path(__file__).with_name("steps") / case
    arguments = (folder / "arguments").read_text() if (folder / "arguments").exists() else ""
    steps = drawn(decode((folder / "Dockerfile").read_bytes()), arguments)
    if os.environ.get("PYBUILD_GOLDEN"):
        (folder / "steps.txt").write_text(steps)
    assert steps == (folder / "steps.txt").read_text()
