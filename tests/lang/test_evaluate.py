"""What an image's config brings into a stage, and changes to a config alone."""

import pytest

from lang.config import PATH, Health, Settings
from lang.errors import LangError
from lang.evaluate import Evaluated, apply_changes, evaluate
from lang.nodes import Env
from lang.parser import parse
from lang.platform import Platform
from lang.source import Source
from lang.stages import resolve
from lang.steps import CopyStep, RunStep, WorkdirStep

AMD64 = Platform("linux", "amd64")


def walked(text: str, base: Settings, **build_args: str) -> Evaluated:
    found = resolve(parse(Source("Dockerfile", text)), build_args=build_args, target="", target_platform=AMD64, build_platform=AMD64)
    return evaluate(found.stages[-1], base, found)


def test_the_config_of_the_image_is_where_a_stage_begins() -> None:
    base = Settings(env=(("A", "image"), ("PATH", "/bin")), user="me", working_dir="/home", cmd=("a",), entrypoint=("b",), shell=("/bin/bash", "-c"),
                    labels=(("x", "1"),), exposed_ports=("80/tcp",), volumes=("/v",), stop_signal="9", healthcheck=Health(("NONE",)), author="me")
    found = walked("FROM image\nRUN x\nWORKDIR y\n", base)
    assert found.settings == base._replace(working_dir="/home/y")
    run, workdir = found.steps
    assert isinstance(run, RunStep) and isinstance(workdir, WorkdirStep)
    assert (run.argv, run.cwd, run.user, run.env) == (("/bin/bash", "-c", "x"), "/home", "me", (("A", "image"), ("PATH", "/bin")))
    assert (workdir.path, workdir.user) == ("/home/y", "me")


def test_path_is_set_if_the_image_has_none() -> None:
    assert walked("FROM image\n", Settings(env=(("A", "1"),))).settings.env == (("A", "1"), ("PATH", PATH))


def test_an_argument_is_seen_by_run_and_not_kept_in_the_image() -> None:
    found = walked("FROM image\nARG X\nRUN x\n", Settings(), X="1")
    assert isinstance(found.steps[1], RunStep) and ("X", "1") in found.steps[1].env
    assert found.settings.getenv("X") is None


def test_arguments_about_the_bill_of_materials_are_no_variables() -> None:
    found = walked("FROM image\nARG BUILDKIT_SBOM_SCAN_STAGE=true\nRUN x\n", Settings())
    assert isinstance(found.steps[1], RunStep)
    assert "BUILDKIT_SBOM_SCAN_STAGE" not in dict(found.steps[1].env)


def test_triggers_fire_once_and_point_at_the_from() -> None:
    found = walked("FROM image\nRUN own\n", Settings(on_build=("ENV A=1", "COPY a $A/", "RUN <<E\nhi\nE")))
    assert [step.created_by for step in found.steps] == ["ENV A=1", "COPY a 1/ # buildkit", "RUN /bin/sh -c hi\n # buildkit",
                                                        "RUN /bin/sh -c own # buildkit"]
    assert found.steps[0].span.start == 0
    assert found.settings.on_build == ()


@pytest.mark.parametrize("trigger", ["FOO", "RUN <<E\nno end", "COPY a", "ENV a=1\nENV b=2", "", "FROM scratch"])
def test_a_trigger_that_cannot_be_is_told_with_the_image(trigger: str) -> None:
    with pytest.raises(LangError) as caught:
        walked("FROM image:1\n", Settings(on_build=(trigger,)))
    assert caught.value.source.name == "ONBUILD of image:1"


def test_a_trigger_of_an_image_uses_the_backslash_whatever_the_file_escapes_with() -> None:
    found = walked("# escape=`\nFROM image\n", Settings(on_build=("RUN a \\\n  b",)))
    assert isinstance(found.steps[0], RunStep)
    assert found.steps[0].argv[-1] == "a   b"


def test_an_observer_sees_every_instruction_with_what_was_before_it() -> None:
    tree = parse(Source("Dockerfile", "FROM scratch\nENV A=1\nENV B=$A$C\n"))
    found = resolve(tree, build_args={}, target="", target_platform=AMD64, build_platform=AMD64)
    seen: list[tuple[type, list[str], str | None]] = []
    evaluate(found.stages[0], Settings(), found, None,
             lambda one, unset, variables, settings: seen.append((type(one), [n for n, _ in unset], variables.get("A"))))
    assert seen == [(Env, [], None), (Env, ["C"], "1")]


def test_changes_to_a_config() -> None:
    before = Settings(env=(("A", "1"),), cmd=("x",), working_dir="/w")
    after = apply_changes(before, ["CMD [\"y\"]", "env A=$A-2 B=3", "LABEL k=v", "EXPOSE 80", "VOLUME /v", "USER me", "WORKDIR sub", "STOPSIGNAL 9",
                                   "ONBUILD RUN z", "HEALTHCHECK CMD true", "ENTRYPOINT run"])
    assert after == Settings(env=(("A", "1-2"), ("B", "3")), cmd=None, working_dir="/w/sub", labels=(("k", "v"),), exposed_ports=("80/tcp",),
                             volumes=("/v",), user="me", stop_signal="9", on_build=("RUN z",), healthcheck=Health(("CMD-SHELL", "true")),
                             entrypoint=("/bin/sh", "-c", "run"))


@pytest.mark.parametrize("line", ["RUN x", "COPY a b", "ADD a b", "FROM x", "ARG x", "SHELL [\"a\"]", "MAINTAINER x", "FOO", "CMD [1]", "",
                                  "ENV a=1\nENV b=2"])
def test_a_change_that_is_none(line: str) -> None:
    with pytest.raises(LangError) as caught:
        apply_changes(Settings(), [line])
    assert caught.value.source.name == "--change"


@pytest.mark.parametrize(("text", "destination"), [
    ("COPY a .", "/w/"), ("COPY a ./", "/w/"), ("COPY a ''", "/w/"), ("COPY a /", "/"), ("COPY a //x//y/", "/x/y/"), ("COPY a ../..", "/"),
    ("COPY a x/../y", "/w/y"), ("COPY [\"a\", \"x y\"]", "/w/x y"), ("COPY a \"x\"/", "/w/x/"),
])
def test_destinations(text: str, destination: str) -> None:
    step = walked(f"FROM image\n{text}\n", Settings(working_dir="/w")).steps[0]
    assert isinstance(step, CopyStep)
    assert step.destination == destination


def test_quotes_do_not_hold_words_together_in_copy() -> None:
    with pytest.raises(LangError, match="no closing `\"`"):
        walked("FROM image\nCOPY a \"x y\"\n", Settings())
