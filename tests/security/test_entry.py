"""Attacks at the moment of entry: by what the command is, where it begins, and what it is given."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sandbox.client import Client, connect
from sandbox.errors import CommandMissing
from sandbox.spec import ExecSpec, SandboxSpec
from tests.sandbox.harness import Box
from tests.sandbox.test_visit import finish, layers
from tests.security.test_escape import ENV

pytestmark = pytest.mark.userns

# the runtime's program, run with the image's libraries, keeps a descriptor of itself for who comes after it (CVE-2019-5736); while it runs somewhere
# the kernel lets nobody write to it, but would let its mode be changed: so that is tried
REOPEN = """
import os
fd = os.open("/proc/self/exe", os.O_RDONLY)
os.set_inheritable(fd, True)
os.execv("/usr/local/bin/python3", ["python3", "-c", f'''
import os
try:
    os.chmod("/proc/self/fd/{fd}", os.fstat({fd}).st_mode)
    print("changed")
except OSError as error:
    print(os.strerror(error.errno))
'''])
"""
HOME = ("PYTHONHOME", "/usr/local")


@pytest.fixture
def box(request: pytest.FixtureRequest) -> Box:
    return request.getfixturevalue("root_box")  # type: ignore[no-any-return]


@pytest.fixture(params=["common", "private"])
def client(request: pytest.FixtureRequest, run_directory: Path) -> Iterator[Client]:
    with connect(str(run_directory), private=request.param == "private") as client:
        yield client
        client.retire()


@pytest.mark.parametrize("fields", [{}, {"init": True}], ids=["plain", "init"])
def test_cve_2019_5736_command_is_the_runtime(client: Client, box: Box, fields: dict[str, Any]) -> None:
    spec = SandboxSpec(layers(box.scratch, box.rootfs), ("/proc/self/exe", "-c", REOPEN), env=(*ENV, HOME), **fields)
    exit, said = finish(lambda out: client.spawn(spec, 0, out, out))
    assert (exit.code, said) == (0, "Read-only file system\n")


def test_cve_2019_5736_interpreter_of_a_script_is_the_runtime(client: Client, box: Box) -> None:
    root = layers(box.scratch, box.rootfs)
    script = Path(root.upper, "script")
    script.write_text(f"#!/proc/self/exe\n{REOPEN}")
    script.chmod(0o755)
    exit, said = finish(lambda out: client.spawn(SandboxSpec(root, ("/script",), env=(*ENV, HOME)), 0, out, out))
    assert (exit.code, said) == (0, "Read-only file system\n")


def test_cve_2019_5736_exec_of_the_runtime(client: Client, box: Box) -> None:
    """What enters a sandbox that runs is a program in sealed memory."""
    with client.spawn(SandboxSpec(layers(box.scratch, box.rootfs), ("/bin/sleep", "1000"), env=ENV)) as main:
        with pytest.raises(CommandMissing):
            client.exec(main.pidfd, ExecSpec(("/proc/self/exe", "-c", REOPEN), env=(*ENV, HOME)))
        finish(lambda out: client.exec(main.pidfd, ExecSpec(("python3", "-c", "import os; os.symlink('/proc/self/exe', '/link')"), env=ENV), 0, out, out))
        with pytest.raises(CommandMissing):
            client.exec(main.pidfd, ExecSpec(("/link",), env=ENV))
