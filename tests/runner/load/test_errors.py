"""Golden diagnostics: a folder of errors/ is a case, `stderr` what a person sees. PYBUILD_GOLDEN=1 writes them anew, for reading."""

import os
from pathlib import Path

import pytest

from lang.diagnostic import render
from runner.errors import InvalidCompose
from runner.load.project import LoadOptions, load

CASES = sorted((Path(__file__).parent / "errors").iterdir())


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_diagnostics(case: Path) -> None:
    with pytest.raises(InvalidCompose) as caught:
        load(LoadOptions(str(case), {}))
    drawn = "\n".join(render(one) for one in caught.value.diagnostics) + "\n"
    if os.environ.get("PYBUILD_GOLDEN"):
        (case / "stderr").write_text(drawn)
    assert drawn == (case / "stderr").read_text()
