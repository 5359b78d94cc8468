"""What a Dockerfile offers: targets and the outline of one."""

from typing import Any

from lang.config import SCRATCH
from lang.evaluate import Evaluated, Scope, evaluate
from lang.outline import outline, targets
from lang.parser import parse
from lang.platform import Platform
from lang.refs import StageRef
from lang.source import Source
from lang.stages import resolve

AMD64 = Platform("linux", "amd64")
TEXT = """# first is the first one
ARG first=1
# not about it
ARG second=a$first
ARG unused
FROM busybox:$second AS lib
ARG mine
# app builds it
FROM lib AS app
# knob turns
ARG knob=3
ARG first
RUN --mount=type=secret,id=token,required --mount=type=ssh x
FROM scratch
COPY --from=app / /
RUN --mount=type=secret,id=other x
"""


def outlined(text: str, target: str = "", args: dict[str, str] | None = None) -> dict[str, Any]:
    found = resolve(parse(Source("Dockerfile", text)), build_args=args or {}, target=target, target_platform=AMD64, build_platform=AMD64)
    done: dict[int, Evaluated] = {}
    for stage in found.stages:
        if stage.reachable:
            below = done[stage.base.number] if isinstance(stage.base, StageRef) else Evaluated((), SCRATCH, Scope())
            done[stage.number] = evaluate(stage, below.settings, found, below.scope)
    return outline(found, done)


def line(item: dict[str, Any]) -> int:
    return int(item["location"]["ranges"][0]["start"]["line"])


def test_targets() -> None:
    found = targets(parse(Source("Dockerfile", TEXT)))
    assert [{k: v for k, v in target.items() if k != "location"} for target in found["targets"]] == [
        {"name": "lib", "base": "busybox:$second"}, {"name": "app", "base": "lib", "description": "builds it"}, {"default": True, "base": "scratch"}]
    assert [line(target) for target in found["targets"]] == [6, 9, 14]


def test_outline_of_a_target() -> None:
    found = outlined(TEXT, "app", {"knob": "9"})
    assert (found["name"], found["description"]) == ("app", "builds it")
    assert [(arg["name"], arg.get("value"), arg.get("description"), line(arg)) for arg in found["args"]] == [
        ("first", "1", "is the first one", 2), ("second", "a1", None, 4), ("mine", None, None, 7), ("knob", "9", "turns", 11)]
    assert [(secret["name"], secret.get("required"), line(secret)) for secret in found["secrets"]] == [("token", True, 13)]
    assert [ssh["name"] for ssh in found["ssh"]] == ["default"]


def test_outline_takes_in_what_the_target_needs() -> None:
    found = outlined(TEXT)
    assert "name" not in found
    assert [secret["name"] for secret in found["secrets"]] == ["token", "other"]
    assert "knob" in [arg["name"] for arg in found["args"]]


def test_sources_are_the_file_itself() -> None:
    import base64
    assert base64.b64decode(targets(parse(Source("Dockerfile", TEXT)))["sources"][0]).decode() == TEXT
