"""Start-up is a budget: what the parse path may not import, and that nothing of lang prints or exits."""

import ast
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

COSTLY = {"re", "typing", "enum", "json", "pathlib", "subprocess", "contextlib", "argparse", "dataclasses", "logging", "collections", "functools",
          "lark", "msgspec"}
ROOT = Path(__file__).resolve().parents[2]
TEXT = """ARG V=1
FROM alpine:${V} AS build
ENV A=$V B="x y"
RUN --mount=type=cache,target=/c make && \\\\
    make install
COPY --chown=1:2 --chmod=755 a b /c/
COPY [\\"a\\", \\"/b\\"]
WORKDIR /x
FROM scratch
COPY --from=build /x /x
HEALTHCHECK --interval=3s CMD x
ENTRYPOINT [\\"/x\\"]
"""
PARSE = f'from lang.parser import parse; from lang.source import Source; tree = parse(Source("Dockerfile", """{TEXT}"""))'
WALK = """
from lang.config import SCRATCH, PATH, Settings
from lang.evaluate import evaluate
from lang.platform import Platform
from lang.stages import resolve
host = Platform("linux", "amd64")
found = resolve(tree, build_args={}, target="", target_platform=host, build_platform=host)
for stage in found.stages: evaluate(stage, SCRATCH, found)
"""


@pytest.mark.parametrize("program", [PARSE, PARSE + WALK], ids=["parse", "walk"])
def test_a_dockerfile_is_read_without_costly_modules(program: str) -> None:
    whole = f"import sys; sys.path.insert(0, {str(ROOT)!r})\n{program}\nprint(*sorted(sys.modules))"
    done = subprocess.run([sys.executable, "-I", "-S", "-c", whole], capture_output=True, text=True, check=True)
    assert not COSTLY & set(done.stdout.split())


@pytest.mark.skipif(not shutil.which("valgrind"), reason="instructions are counted by valgrind, which is not installed")
def test_instructions_of_import_and_parse_stay_below_their_limit() -> None:
    done = subprocess.run([sys.executable, str(ROOT / "bench" / "parse.py"), "--gate"], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_nothing_prints_or_exits() -> None:
    for path in [*(ROOT / "lang").rglob("*.py"), *(ROOT / "grammar").glob("*.py")]:
        calls = {ast.unparse(node.func) for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)}
        assert not calls & {"print", "sys.exit", "exit"}, path
