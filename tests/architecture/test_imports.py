"""The table of rooms and allowed imports, held against every import statement there is."""

import ast
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

# room -> what it may import: a room, or only these modules of it
ALLOWED: dict[str, set[str]] = {
    "grammar": set(),
    "kernel": set(),
    "lang": {"grammar", "kernel.value"},
    "store": {"kernel"},
    "sandbox": {"kernel"},
    "builder": {"kernel", "lang", "store", "sandbox"},
    "runner": {"grammar", "kernel", "lang.source", "lang.diagnostic", "store", "sandbox", "builder"},
    "engine": {"kernel.value", "lang.errors", "store", "sandbox.errors", "builder", "runner"},
    "pybuild": {"kernel", "lang", "store", "sandbox", "builder", "runner", "engine"},
}
ROOMS = set(ALLOWED)

# third-party package -> the files that may import it (prefixes)
THIRD_PARTY: dict[str, tuple[str, ...]] = {
    "lark": ("grammar/compiler.py",),
    "hatchling": ("grammar/hook.py",),
    "yaml": ("runner/load/", "pybuild/output/yaml.py"),
    "pyroute2": ("runner/agent/",),
    "dnslib": ("runner/agent/",),
    "urllib3": ("store/registry/", "builder/fetch", "builder/remote/", "builder/cache/"),
    "msgspec": ("store/", "builder/", "runner/", "engine/", "lang/", "pybuild/"),
    "h11": ("engine/",),
    "wsproto": ("engine/",),
    "xxhash": ("store/", "builder/"),
    "isal": ("store/compression.py",),
    "backports": ("store/compression.py",),
    "compression": ("store/compression.py",),
    "cryptography": ("store/signing.py",),
    "ctypes": ("kernel/", "runner/agent/"),
    "argparse": ("pybuild/",),
    "rich": ("pybuild/output/",),
    "watchfiles": ("runner/watch",),
}
# standard modules with one home
STANDARD_HOME: dict[str, tuple[str, ...]] = {"ctypes": THIRD_PARTY["ctypes"], "argparse": THIRD_PARTY["argparse"], "tarfile": ("tests/", "bench/")}


def sources() -> list[Path]:
    return sorted(p for room in ROOMS for p in (ROOT / room).rglob("*.py"))


def imports(path: Path) -> list[tuple[int, str]]:
    found = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found += [(node.lineno, alias.name) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: relative import"
            found += [(node.lineno, f"{node.module}.{alias.name}") for alias in node.names]
    return found


def verdict(path: Path, module: str) -> str:
    """"" or what is wrong with importing `module` (dotted) in `path`."""
    name = path.relative_to(ROOT).as_posix()
    room, top = name.split("/")[0], module.split(".")[0]
    if top in ROOMS:
        allowed = top == room or any(module == a or module.startswith(a + ".") for a in ALLOWED[room])
        return "" if allowed else f"{room} may not import {module}"
    if top in STANDARD_HOME and not name.startswith(STANDARD_HOME[top]):
        return f"{top} belongs in {', '.join(STANDARD_HOME[top])}"
    if top in sys.stdlib_module_names:
        return ""
    if top not in THIRD_PARTY:
        return f"{top} is no dependency"
    return "" if name.startswith(THIRD_PARTY[top]) else f"{top} belongs in {', '.join(THIRD_PARTY[top])}"


def test_imports_follow_the_table() -> None:
    wrong = [f"{p.relative_to(ROOT)}:{line}: {why}" for p in sources() for line, module in imports(p) if (why := verdict(p, module))]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize(("where", "module"), [
    ("lang/parser.py", "store.blobs.Blobs"), ("store/blobs.py", "lang.source.Source"), ("sandbox/spec.py", "store.digest.Digest"),
    ("runner/plan.py", "lang.parser.parse"), ("store/layer.py", "tarfile"), ("builder/plan.py", "lark"), ("lang/parser.py", "requests")])
def test_a_forbidden_import_is_seen(where: str, module: str) -> None:
    assert verdict(ROOT / where, module)
