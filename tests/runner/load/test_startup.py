"""Loading is on the way of every `pyup` command: what it imports is counted."""

import subprocess
import sys

from tests.architecture.test_imports import ROOT

HEAVY = {"typing", "json", "msgspec", "pathlib", "subprocess", "dataclasses", "argparse", "logging", "hashlib", "socket", "lark", "asyncio"}
FILE = 'name: x\nservices: {a: {image: "${T:-b}", ports: ["127.0.0.1:80:80"]}}'


def test_loading_imports_nothing_heavy() -> None:
    program = ("import os, runner.load.project as p, sys\n"
               f"p.load(p.LoadOptions('/', {{}}, ('-',), stdin=lambda: {FILE.encode()!r}))\n"
               "print(*sys.modules)")
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert not HEAVY & set(done.stdout.split())
