"""`--security-opt` and `security_opt` for modules that this machine does not use: the container runs, and it is said once."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from sandbox import labels
from tests.pybuild.faces import Faces, facing

pytestmark = [pytest.mark.userns, pytest.mark.skipif(os.geteuid() != 0, reason="the faces are run as root"),
              pytest.mark.skipif(labels.modules() != (), reason="this machine uses security modules")]


@pytest.fixture
def faces(tmp_path: Path, rootfs: Path) -> Iterator[Faces]:
    yield from facing(tmp_path, rootfs)


RUN = ("container", "run", "--rm", "--network=none")


@pytest.mark.parametrize(("option", "label"), [("apparmor=web", "web"), ("label=type:svirt_t", "system_u:system_r:svirt_t:s0")])
def test_label_without_its_module_is_said_once(faces: Faces, option: str, label: str) -> None:
    done = faces.call("pyup", *RUN, "--security-opt", option, "box", "echo", "ran")
    assert (done.stdout, done.returncode) == ("ran\n", 0)
    assert done.stderr.startswith(f"warning: the label `{label}` has no effect") and done.stderr.count("\n") == 1


@pytest.mark.parametrize("option", ["apparmor=unconfined", "label=disable"])
def test_going_without_is_not_worth_a_word(faces: Faces, option: str) -> None:
    done = faces.call("pyup", *RUN, "--security-opt", option, "box", "echo", "ran")
    assert (done.stdout, done.stderr) == ("ran\n", "")


def test_label_that_is_none_is_one_error(faces: Faces) -> None:
    done = faces.call("pyup", *RUN, "--security-opt", "label=colour:red", "box", "true")
    assert done.returncode in (1, 125) and done.stderr.count("error:") == 1 and "label=colour:red" in done.stderr


def test_service_of_a_stack(faces: Faces, tmp_path: Path) -> None:
    (tmp_path / "compose.yaml").write_text(
        "services: {a: {image: box, network_mode: none, container_name: one, command: [sleep, '1010'], security_opt: ['apparmor=web']}}\n")
    done = faces.call("pyup", "-f", str(tmp_path / "compose.yaml"), "up", "-d")
    assert done.returncode == 0 and done.stderr.count("the label `web` has no effect") == 1, done.stderr
    again = faces.call("pyup", "container", "exec", "one", "echo", "in")
    assert (again.stdout, again.returncode) == ("in\n", 0)
    faces.pyup("-f", str(tmp_path / "compose.yaml"), "down", "-t", "0")
