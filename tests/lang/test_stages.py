"""Stages: what the golden steps do not show: named contexts, triggers of images, errors in several places."""

import pytest

from lang.diagnostic import render
from lang.errors import CircularStage, LangError, LangErrors, UnknownTarget
from lang.parser import parse
from lang.platform import Platform
from lang.refs import ImageRef, NamedRef, Scratch, StageRef
from lang.source import Source
from lang.stages import Resolution, meant, resolve, unused_arguments, with_triggers

AMD64 = Platform("linux", "amd64")


def resolved(text: str, target: str = "", named: tuple[str, ...] = (), platform: Platform = AMD64, args: dict[str, str] | None = None) -> Resolution:
    return resolve(parse(Source("Dockerfile", text)), build_args=args or {}, target=target, target_platform=platform, build_platform=AMD64,
                   named=named.__contains__)


@pytest.mark.parametrize(("image", "named", "expected"), [
    ("alpine", (), ImageRef("alpine")), ("alpine", ("alpine",), NamedRef("alpine")), ("alpine:latest", ("alpine",), NamedRef("alpine")),
    ("docker.io/library/alpine", ("alpine",), NamedRef("alpine")), ("alpine:3", ("alpine",), ImageRef("alpine:3")),
    ("alpine:3", ("alpine:3",), NamedRef("alpine:3")), ("alpine", ("alpine", "alpine::linux/amd64"), NamedRef("alpine::linux/amd64")),
    ("alpine", ("alpine::linux/arm64",), ImageRef("alpine")), ("scratch", ("scratch",), Scratch()),
    ("ghcr.io/a/b", ("ghcr.io/a/b",), NamedRef("ghcr.io/a/b")),
])
def test_a_named_context_takes_the_place_of_an_image(image: str, named: tuple[str, ...], expected: object) -> None:
    assert resolved(f"FROM {image}\n", named=named).stages[0].base == expected


def test_a_named_context_takes_the_place_of_a_stage() -> None:
    stage = resolved("FROM alpine AS a\nRUN x\nFROM a\n", named=("a",)).stages[0]
    assert (stage.base, stage.instructions) == (NamedRef("a"), ())


def test_a_stage_hides_an_image_from_then_on() -> None:
    stages = resolved("FROM golang AS golang\nFROM golang\nFROM scratch\nCOPY --from=GoLang / /\n").stages
    assert [stage.base for stage in stages[:2]] == [ImageRef("golang"), StageRef(0)]
    assert stages[2].needs[0].ref == StageRef(0)


def test_from_takes_the_last_stage_of_a_name_before_it_and_copy_the_last_of_all() -> None:
    stages = resolved("FROM scratch AS a\nFROM scratch AS a\nFROM a\nCOPY --from=a x /\n").stages
    assert (stages[2].base, stages[2].needs[0].ref) == (StageRef(1), StageRef(1))


def test_platform_belongs_to_images_only() -> None:
    stages = resolved("FROM --platform=linux/arm64 a AS x\nFROM --platform=linux/s390x x\nFROM --platform=linux/arm64 scratch\n").stages
    assert [str(stage.platform) for stage in stages] == ["linux/arm64", "linux/arm64", "None"]


def test_stages_that_are_not_needed_may_be_wrong() -> None:
    found = resolved("FROM scratch AS a\nCOPY --from=b / /\nFROM scratch AS b\nFROM scratch AS c\n", target="c")
    assert [stage.reachable for stage in found.stages] == [False, False, True]


def test_circles_are_wrong_everywhere() -> None:
    with pytest.raises(CircularStage):
        resolved("FROM scratch AS a\nCOPY --from=b / /\nFROM scratch AS b\nCOPY --from=a / /\nFROM scratch AS c\n", target="c")


def test_an_unknown_target_is_told_with_the_nearest_name() -> None:
    with pytest.raises(UnknownTarget) as caught:
        resolved("FROM scratch AS release\n", target="relaese")
    assert (caught.value.target, caught.value.help) == ("relaese", "did you mean `release`? the stages with a name are `release` (line 1)")
    with pytest.raises(UnknownTarget) as caught:
        resolved("FROM scratch AS release\nFROM release\n\nFROM scratch AS Other\n", target="0")
    assert caught.value.help == "the stages with a name are `release` (line 1), `other` (line 4)"
    with pytest.raises(UnknownTarget) as caught:
        resolved("FROM scratch\n", target="a")
    assert caught.value.help == "no stage has a name: FROM ... AS name gives it one"


def test_an_unknown_target_is_no_place_in_the_file() -> None:
    with pytest.raises(UnknownTarget) as caught:
        resolved("FROM scratch AS release\n", target="nope")
    said = "\n".join(render(diagnostic) for diagnostic in caught.value.diagnostics())
    assert said == "error: the target `nope` is no stage of `Dockerfile`\n  = help: the stages with a name are `release` (line 1)"


def test_a_stage_that_was_meant_is_found_for_a_missing_image() -> None:
    found = resolved("FROM scratch AS build\nFROM biuld\n")
    assert meant("biuld", found.stages, found.dockerfile.source) == "did you mean `build`? (stage at line 1)"


def test_errors_of_several_stages_come_together_in_order() -> None:
    with pytest.raises(LangErrors) as caught:
        resolved("FROM $A\nFROM Bad\nFROM --platform=/ x\n")
    assert [error.span.start for error in caught.value.errors] == [5, 13, 33]


def test_triggers_of_an_image_can_need_stages() -> None:
    found = resolved("FROM scratch AS tools\nFROM scratch AS files\nCOPY --from=tools / /\nFROM image\n")
    assert [stage.reachable for stage in found.stages] == [False, False, True]
    linked = with_triggers(found, {2: ["COPY --from=files /x /", "RUN --mount=from=debian,target=/y z"]})
    assert [stage.reachable for stage in linked.stages] == [True, True, True]
    assert [need.ref for need in linked.stages[2].needs] == [StageRef(1), ImageRef("debian")]


def test_a_trigger_may_not_need_what_comes_later() -> None:
    found = resolved("FROM image AS a\nFROM scratch AS b\nCOPY --from=a / /\n")
    with pytest.raises(LangError) as caught:
        with_triggers(found, {0: ["COPY --from=b / /"]})
    assert caught.value.source.name == "<trigger>"


def test_build_arguments_that_nobody_declares() -> None:
    text = "ARG A\nFROM scratch\nARG B\n"
    found = resolved(text, args=dict.fromkeys(("A", "B", "C", "http_proxy", "BUILDKIT_INLINE_CACHE", "SOURCE_DATE_EPOCH", "TARGETARCH"), "1"))
    assert unused_arguments(found) == ("C",)


@pytest.mark.parametrize(("text", "args", "image"), [
    ("ARG A=b\nFROM $A", {}, "b"), ("ARG A=b\nFROM $A", {"A": "c"}, "c"), ("ARG A\nFROM ${A:-d}", {}, "d"),
    ("ARG A=x\nARG B=$A-y\nFROM $B", {}, "x-y"),
    ("FROM a${TARGETARCH}", {}, "aarm"), ("FROM a${TARGETARCH}", {"TARGETARCH": "z"}, "az"), ("ARG A=${B:?no}\nFROM ${A}", {"A": "a"}, "a"),
    ("FROM a-$TARGETSTAGE-$TARGETVARIANT AS t", {}, "a-t-v7"),
])
def test_arguments_in_from(text: str, args: dict[str, str], image: str) -> None:
    target = "t" if " AS t" in text else ""
    assert resolved(text, target, platform=Platform("linux", "arm", "v7"), args=args).stages[0].base == ImageRef(image)


def test_a_required_argument_is_told_with_its_message() -> None:
    with pytest.raises(LangError, match="`A`: give one"):
        resolved("ARG A=\"${A:?give one}\"\nFROM scratch\n")
