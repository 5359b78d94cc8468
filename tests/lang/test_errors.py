"""Golden errors: what is said of a Dockerfile that cannot be, whole, with its carets. A folder in errors/ is a case.

PYBUILD_GOLDEN=1 writes what is said now; read the difference before committing it.
"""

import os
from pathlib import Path

import pytest

from lang.config import SCRATCH
from lang.diagnostic import render
from lang.errors import LangError
from lang.evaluate import Evaluated, Scope, evaluate
from lang.include import files_beside
from lang.parser import parse
from lang.platform import Platform
from lang.refs import StageRef
from lang.source import Source, decode
from lang.stages import resolve

CASES = sorted(path.name for path in Path(__file__).with_name("errors").iterdir())
AMD64 = Platform("linux", "amd64")


def walk(source: Source, build_args: dict[str, str] | None = None) -> dict[int, Evaluated]:
    """Parse, resolve and walk a file whose images have no config."""
    found = resolve(parse(source, files_beside(source.name)), build_args=build_args or {}, target=None, target_platform=AMD64, build_platform=AMD64)
    done: dict[int, Evaluated] = {}
    for stage in found.stages:
        if stage.reachable:
            below = done[stage.base.number] if isinstance(stage.base, StageRef) else Evaluated((), SCRATCH, Scope())
            done[stage.number] = evaluate(stage, below.settings, found, below.scope)
    return done


@pytest.mark.parametrize("case", CASES)
def test_error(case: str) -> None:
    folder = Path(__file__).with_name("errors") / case
    source = Source("Dockerfile", decode((folder / "Dockerfile").read_bytes()))
    with pytest.raises(LangError) as caught:
        walk(source)
    said = "\n\n".join(render(diagnostic) for diagnostic in caught.value.diagnostics()) + "\n"
    if os.environ.get("PYBUILD_GOLDEN"):
        (folder / "stderr").write_text(said)
    assert said == (folder / "stderr").read_text()
