"""What is told of networks by who may not touch them."""

import os
import subprocess
import sys

import pytest

from tests.users import ROOT

PROGRAM = """
from kernel.syscalls import capget, capset
from sandbox.capabilities import NET_ADMIN
held = capget()[1] & ~NET_ADMIN
capset(held, held, 0)
from runner.agent.probe import probe
print(*[finding.subject for finding in probe()], sep=",")
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="who is not root does not look at firewalls")
def test_root_of_a_container_hears_nothing_of_libraries() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.stderr == ""
    assert "way out" in done.stdout.split(",")
    assert "other firewalls" not in done.stdout
