"""Completion: what is offered at each place of a command line, and bash asking for it."""

import subprocess
import sys
from pathlib import Path

import pytest

from pybuild.completion import offers

THERE = {"images": ["app:1", "busybox"], "containers": ["box", "web-1"], "volumes": ["data"], "networks": ["front"], "services": ["db", "web"]}


def offered(program: str, *words: str) -> list[str]:
    return [word for word, _ in offers(program, list(words), THERE.__getitem__)]


@pytest.mark.parametrize("program, words, expected", [
    ("pyup", ["co"], ["container", "config", "commit", "completion"]),
    ("pyup", ["container", "re"], ["restart", "rename"]),
    ("pyup", ["container", "stop", ""], ["box", "web-1"]),
    ("pyup", ["container", "rm", "-f", "w"], ["web-1"]),
    ("pyup", ["container", "rm", "box", ""], ["box", "web-1"]),
    ("pyup", ["container", "run", "-it", "b"], ["busybox"]),
    ("pyup", ["container", "run", "busybox", "--"], []),
    ("pyup", ["volume", "rm", ""], ["data"]),
    ("pyup", ["network", "connect", "f"], ["front"]),
    ("pyup", ["network", "connect", "front", ""], ["box", "web-1"]),
    ("pyup", ["-f", "a.yaml", "--profile", "x", "exec", ""], ["db", "web"]),
    ("pyup", ["up", "--pull", "m"], ["missing"]),
    ("pyup", ["--ansi", "n"], ["never"]),
    ("pyup", ["up", "--no-deps", "d"], ["db"]),
    ("pyup", ["nonsense", ""], []),
    ("pybuild", ["--progress=pl"], ["--progress=plain"]),
    ("pybuild", ["--progress", "pl"], ["plain"]),
    ("pybuild", ["-t", "x", "--targ"], ["--target"]),
    ("pybuild", ["build", "--progress", "q"], ["quiet"]),
    ("pybuild", ["rmi", ""], ["app:1", "busybox"]),
    ("pybuild", ["rmi", "app:"], ["app:1"]),
    ("pybuild", ["tag", "a"], ["app:1"]),
    ("pybuild", ["lint", "--format", "s"], ["sarif"]),
    ("pybuild", ["-f", ""], []),
    ("pybuild", ["cache", ""], ["ls", "inspect", "export", "import", "rm"]),
])
def test_offers(program: str, words: list[str], expected: list[str]) -> None:
    assert offered(program, *words) == expected


def test_hidden_options_are_not_offered() -> None:
    assert "--no-ansi" not in offered("pyup", "up", "--")


@pytest.mark.parametrize("shell, name", [("bash", "complete -o default"), ("zsh", "#compdef pyup"), ("fish", "complete -c pyup")])
def test_each_shell_has_a_script(shell: str, name: str) -> None:
    found = _pyup("completion", shell)
    assert found.returncode == 0 and found.stdout.startswith(("_pyup", "#compdef", "complete")) and name in found.stdout and "PROGRAM" not in found.stdout


def test_a_shell_that_is_not_known_is_an_error() -> None:
    found = _pyup("completion", "tcsh")
    assert found.returncode == 1 and found.stderr.startswith("error: there is no completion for `tcsh`")


def test_a_broken_project_offers_no_services(tmp_path: Path) -> None:
    (tmp_path / "bad.yaml").write_text("services: [")
    found = _pyup("completion", "words", "-f", str(tmp_path / "bad.yaml"), "exec", "")
    assert (found.returncode, found.stdout, found.stderr) == (0, "", "")


def test_bash_completes_words_with_a_colon(tmp_path: Path) -> None:
    """The script as bash runs it: a program of that name on PATH, and the line as the user has typed it."""
    program = tmp_path / "pyup"
    program.write_text('#!/bin/sh\n[ "$1 $2 $3 $4 $5" = "completion words image rm app:1" ] && printf "app:1.0\\tx\\napp:1.2\\ty\\n"\n')
    program.chmod(0o755)
    script = _pyup("completion", "bash").stdout + '\nCOMP_LINE="pyup image rm app:1" COMP_POINT=19; _pyup; printf "%s\\n" "${COMPREPLY[@]}"\n'
    found = subprocess.run(["bash", "-c", script], capture_output=True, text=True, env={"PATH": f"{tmp_path}:/usr/bin:/bin"}, check=True)
    assert found.stdout.split() == ["1.0", "1.2"]


def _pyup(*words: str) -> "subprocess.CompletedProcess[str]":
    code = "import sys; from pybuild.__main__ import run; sys.exit(run('pyup', sys.argv[1:]))"
    return subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True, cwd=Path(__file__).parents[2], check=False)
