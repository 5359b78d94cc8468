"""`pybuild doctor` as root, as ordinary users, and where root may not make namespaces."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.users import ROOT, User

DOCTOR = [sys.executable, "-m", "pybuild", "doctor"]
SUBJECTS = {"namespaces and mounts", "overlay", "limits", "seccomp", "landlock", "isolation", "container networks", "way out", "published ports"}


def rows(output: str) -> dict[str, dict[str, str]]:
    found = [json.loads(line) for line in output.splitlines()]
    return {row["Subject"]: row for row in found}


def doctor(root: Path, *words: str, before: tuple[str, ...] = ()) -> str:
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "PYBUILD_ROOT": str(root)}
    return subprocess.run([*before, *DOCTOR, *words], env=environment, cwd=ROOT, text=True, capture_output=True, check=True).stdout


@pytest.mark.userns
def test_doctor_says_of_each_thing_whether_it_is_there(tmp_path: Path) -> None:
    found = rows(doctor(tmp_path, "--format", "json"))
    assert set(found) >= SUBJECTS
    assert found["isolation"]["State"] == "yes" and "namespace" in found["isolation"]["Detail"]
    assert {row["State"] for row in found.values()} <= {"yes", "limited", "no"}


@pytest.mark.userns
def test_doctor_leaves_nothing(tmp_path: Path) -> None:
    doctor(tmp_path / "not" / "there")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.userns
def test_doctor_table_has_the_states_first(tmp_path: Path) -> None:
    lines = doctor(tmp_path).splitlines()
    assert lines[0].split() == ["WHAT", "STATE", "DETAIL"]
    assert any(line.startswith("isolation ") and " yes " in line for line in lines)


@pytest.mark.userns
def test_doctor_of_a_user_with_subordinate_ids(unprivileged: User) -> None:
    done = unprivileged.run([*DOCTOR, "--format", "json"])
    found = rows(done.stdout)
    assert found["user namespaces"]["State"] == found["subordinate ids"]["State"] == "yes"
    assert found["published ports"]["Remedy"].startswith("sudo sysctl -w net.ipv4.ip_unprivileged_port_start=")


@pytest.mark.userns
def test_doctor_of_a_user_without_subordinate_ids_names_the_command(unprivileged_single: User) -> None:
    done = unprivileged_single.run([*DOCTOR, "--format", "json"])
    row = rows(done.stdout)["subordinate ids"]
    assert row["State"] == "limited" and unprivileged_single.name in row["Remedy"]
    text = unprivileged_single.run(DOCTOR).stdout
    assert f"  {row['Remedy']}    # subordinate ids" in text


@pytest.mark.skipif(os.geteuid() != 0, reason="taking CAP_SYS_ADMIN away needs root")
def test_doctor_without_sys_admin_tells_of_chroot(tmp_path: Path) -> None:
    found = rows(doctor(tmp_path, "--format", "json", before=("setpriv", "--bounding-set=-sys_admin", "--inh-caps=-sys_admin")))
    assert found["namespaces and mounts"]["State"] == "no"
    assert found["isolation"]["State"] == "limited" and found["isolation"]["Detail"].startswith("chroot")


@pytest.mark.skipif(os.geteuid() != 0, reason="taking capabilities away needs root")
def test_doctor_without_any_capability_says_that_run_cannot_be_had(tmp_path: Path) -> None:
    before = ("setpriv", "--bounding-set=-sys_admin,-sys_chroot", "--inh-caps=-sys_admin,-sys_chroot")
    found = rows(doctor(tmp_path, "--format", "json", before=before))
    assert found["isolation"]["State"] == "no" and "CAP_SYS_CHROOT" in found["isolation"]["Detail"]
