"""Options of `container run` and `create` that are taken for docker's sake: each has its effect, or says that it has none, or is refused."""

from pathlib import Path

import pytest

from tests.pybuild.stacking import Stack, services, sleeping, with_busybox
from tests.tool import Done, Tool

pytestmark = pytest.mark.userns


@pytest.fixture(scope="module")
def tool(tmp_path_factory: pytest.TempPathFactory) -> Tool:
    return with_busybox(tmp_path_factory.mktemp("options") / "r")


def create(tool: Tool, *options: str) -> Done:
    return tool.run("pyup", "container", "create", "--pull", "never", *options, "busybox", "true")


@pytest.mark.parametrize("option", ["--oom-kill-disable", "--storage-opt=size=1G", "--device-cgroup-rule=c 1:3 mr",
                                    "--isolation=hyperv"])
def test_an_option_without_effect_says_so_once(tool: Tool, option: str) -> None:
    done = create(tool, option).ok()
    assert done.err.count("has no effect") == 1 and option.partition("=")[0] in done.err


def test_ports_of_no_network_say_that_they_are_not_published(tool: Tool) -> None:
    assert "`--publish` has no effect" in create(tool, "--network", "none", "-p", "80:80").ok().err


def test_an_option_with_its_effect_says_nothing(tool: Tool) -> None:
    done = create(tool, "--isolation=default", "-p", "127.0.0.1::80", "--oom-score-adj", "500", "--log-opt", "max-size=1m", "--platform", "linux")
    assert done.status == 0 and not done.err, done


@pytest.mark.parametrize("words", [("--oom-score-adj", "5000"), ("--blkio-weight", "5"), ("--memory-swappiness", "101"), ("--log-opt", "tag=x"),
                                   ("--stop-timeout", "-5"), ("--mount", "type=bind,source=/etc,target=/a,consistency=foo")])
def test_a_value_that_cannot_be_is_refused_at_its_option(tool: Tool, words: "tuple[str, str]") -> None:
    done = create(tool, *words)
    assert done.status == 1 and "error: " in done.err and done.err.count("\n") <= 2, done


@pytest.mark.parametrize("word", ["default", "consistent", "cached", "delegated"])
def test_a_consistency_of_docker_s_is_taken(tool: Tool, word: str) -> None:
    assert create(tool, "--mount", f"type=bind,source=/etc,target=/a,consistency={word}").status == 0


def test_an_image_of_another_platform_is_not_taken(tool: Tool) -> None:
    other = "linux/arm64" if "aarch64" not in Path("/proc/version").read_text() else "linux/amd64"
    done = create(tool, "--platform", other)
    assert done.status and f"platform `{other}`" in done.err, done


def test_a_service_says_what_its_log_has_not(tool: Tool, tmp_path: Path) -> None:
    it = Stack(tool, tmp_path / "s", services(sleeping("logging: {options: {tag: x, max-size: 1m}}")))
    said = it("create").err
    it("down")
    assert said.count("has no effect") == 1 and "`services.a.logging.options.tag` has no effect" in said, said
