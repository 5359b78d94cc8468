"""Labels of security modules. The machine has none of them: files stand for the kernel's."""

import os
from pathlib import Path

import pytest

from sandbox import labels
from sandbox.errors import InvalidSpec, SandboxError
from sandbox.labels import APPARMOR, SELINUX
from sandbox.spec import ExecSpec, SandboxSpec
from tests.sandbox.harness import Box

CONTEXT = "system_u:system_r:container_t:s0"


@pytest.fixture
def attributes(tmp_path: Path) -> Path:
    """Where a process says its labels: /proc/self/attr of a kernel since 5.8."""
    (tmp_path / "apparmor").mkdir()
    for name in ("exec", "apparmor/exec"):
        (tmp_path / name).touch()
    return tmp_path


def spec(**fields: str) -> ExecSpec:
    return ExecSpec(("true",), **fields)  # type: ignore[arg-type]


def test_profile_is_written_where_apparmor_reads(attributes: Path) -> None:
    labels.apply(spec(apparmor="web"), (APPARMOR,), str(attributes))
    assert (attributes / "apparmor/exec").read_text() == "exec web"
    assert (attributes / "exec").read_text() == ""


def test_profile_is_written_where_older_kernels_read(attributes: Path) -> None:
    (attributes / "apparmor/exec").unlink()
    labels.apply(spec(apparmor="web"), (APPARMOR,), str(attributes))
    assert (attributes / "exec").read_text() == "exec web"


def test_context_is_written_as_it_is(attributes: Path) -> None:
    labels.apply(spec(selinux=CONTEXT), (SELINUX,), str(attributes))
    assert (attributes / "exec").read_text() == CONTEXT


def test_module_that_is_not_used_is_not_told(attributes: Path) -> None:
    labels.apply(spec(selinux=CONTEXT, apparmor="web"), (), str(attributes))
    assert (attributes / "exec").read_text() == (attributes / "apparmor/exec").read_text() == ""


def test_label_that_the_module_refuses_is_one_error(attributes: Path) -> None:
    (attributes / "apparmor/exec").unlink()
    (attributes / "apparmor/exec").symlink_to("/dev/full")
    with pytest.raises(SandboxError, match="use the AppArmor profile `web`"):
        labels.apply(spec(apparmor="web"), (APPARMOR,), str(attributes))


def test_modules_are_found_by_what_they_show(tmp_path: Path) -> None:
    assert labels.modules(str(tmp_path)) == ()
    for path, text in (("sys/module/apparmor/parameters/enabled", "Y\n"), ("sys/fs/selinux/enforce", "1")):
        (tmp_path / path).parent.mkdir(parents=True)
        (tmp_path / path).write_text(text)
    assert labels.modules(str(tmp_path)) == (APPARMOR, SELINUX)
    (tmp_path / "sys/module/apparmor/parameters/enabled").write_text("N\n")
    assert labels.modules(str(tmp_path)) == (SELINUX,)


@pytest.mark.parametrize(("words", "found"), [
    ((), ("", "")), (("apparmor=web",), ("web", "")), (("apparmor:web",), ("web", "")), (("apparmor=unconfined",), ("", "")),
    (("label=type:svirt_t",), ("", "system_u:system_r:svirt_t:s0")), (("label:level:s0:c1,c2",), ("", "system_u:system_r:container_t:s0:c1,c2")),
    (("label=user:u", "label=role:r"), ("", "u:r:container_t:s0")), (("label=type:x", "label=disable"), ("", "")), (("no-new-privileges",), ("", ""))])
def test_options_are_dockers(words: tuple[str, ...], found: tuple[str, str]) -> None:
    assert labels.of_options(words) == found


@pytest.mark.parametrize("word", ["label=colour:red", "label=type:", "label=", "apparmor=a b", "label=type:a\nb"])
def test_option_that_is_none_is_an_error(word: str) -> None:
    with pytest.raises(InvalidSpec):
        labels.of_options((word,))


def test_what_has_no_effect_is_said() -> None:
    assert labels.unused(spec(apparmor="web"), (SELINUX,)) == "the label `web` has no effect: this machine does not use AppArmor"
    assert labels.unused(spec(apparmor="web"), (APPARMOR,)) == labels.unused(spec(), ()) == ""


@pytest.mark.userns
@pytest.mark.skipif(labels.modules() != (), reason="this machine uses security modules")
def test_command_runs_where_no_module_is_used(box: Box) -> None:
    outcome = box.shell("echo ran", apparmor="web", selinux=CONTEXT)
    assert outcome.out == "ran\n", outcome


def test_labels_are_in_a_bundle() -> None:
    from sandbox import account, bundle
    from sandbox.spec import Directory

    made = bundle.config(SandboxSpec(Directory("/"), ("true",), apparmor="web", selinux=CONTEXT), account.Account(0, 0, (), "/"), {}, os.uname().machine)
    assert made["process"]["apparmorProfile"] == "web" and made["process"]["selinuxLabel"] == CONTEXT
