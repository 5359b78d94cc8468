"""Golden trees: what `pybuild parse` prints of a Dockerfile. A folder in trees/ is a case, named after its topic.

PYBUILD_GOLDEN=1 writes what is read now; read the difference before committing it.
"""

import json
import os
from pathlib import Path

import pytest

from lang.parser import read
from lang.source import Source, decode
from lang.tree import node

CASES = sorted(path.name for path in Path(__file__).with_name("trees").iterdir())


@pytest.mark.parametrize("case", CASES)
def test_tree(case: str) -> None:
    folder = Path(__file__).with_name("trees") / case
    source = Source("Dockerfile", decode((folder / "Dockerfile").read_bytes()))
    tree = [node(raw, source) for raw in read(source)]
    if os.environ.get("PYBUILD_GOLDEN"):
        lines = ",\n ".join(json.dumps(item, ensure_ascii=False) for item in tree)
        (folder / "tree.json").write_text(f"[{lines}]\n")
    assert tree == json.loads((folder / "tree.json").read_text())
