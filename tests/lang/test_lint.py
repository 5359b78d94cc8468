"""Lint: the reference's checks, hadolint's rules, what switches them off, what mends them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lang.config import PATH, Settings
from lang.errors import LangError
from lang.lint.finding import CHECKS, LEVELS, Finding
from lang.lint.fix import fix
from lang.lint.linter import Report, Surroundings, lint
from lang.parser import parse
from lang.platform import Platform
from lang.source import Source, Span

AMD64 = Platform("linux", "amd64")
HERE = Surroundings(AMD64, AMD64)


def report(text: str, at: Surroundings = HERE, more: bool = False) -> Report:
    return lint(parse(Source("Dockerfile", text)), at, more)


def rules(text: str, at: Surroundings = HERE) -> list[tuple[str, int]]:
    return [(finding.rule, finding.line) for finding in report(text, at).findings]


@pytest.mark.parametrize(("text", "expected"), [
    ("FROM scratch AS One\nFROM scratch AS one\n", [("StageNameCasing", 1), ("DuplicateStageName", 2)]),
    ("FROM scratch AS Context\n", [("StageNameCasing", 1), ("ReservedStageName", 1)]),
    ("FROM scratch as a\nfrom scratch AS b\nFROM x AS c\n", [("FromAsCasing", 1), ("ConsistentInstructionCasing", 2), ("FromAsCasing", 2)]),
    ("From scratch as x\n", [("ConsistentInstructionCasing", 1)]),
    ("from scratch\nRUN x\nrun y\n", [("ConsistentInstructionCasing", 2)]),
    ("from scratch\nRUN x\n", [("ConsistentInstructionCasing", 1)]),
    ("arg x\nFROM scratch\n", []),
    ("FROM scratch\nRUN a \\\n\n\n  b\nRUN c\n", [("NoEmptyContinuation", 5)]),
    ("FROM scratch\nMAINTAINER x\nENV a b\nLABEL c d\n", [("MaintainerDeprecated", 2), ("LegacyKeyValueFormat", 3),
    ("LegacyKeyValueFormat", 4)]),
    ("FROM scratch\nCMD x\nENTRYPOINT [\"y\"]\nSHELL [\"z\"]\nCMD x\n", [("JSONArgsRecommended", 2),
    ("MultipleInstructionsDisallowed", 2)]),
    ("FROM scratch AS a\nSHELL [\"z\"]\nFROM a\nCMD x\n", []),
    ("FROM a$X\n", [("UndefinedArgInFrom", 1)]), ("ARG X\nFROM a$X\n", []), ("ARG X\nFROM a:$X\n", [("InvalidDefaultArgInFrom", 2)]),
    ("ARG P=linux\nFROM --platform=$P/$Q a\n", [("UndefinedArgInFrom", 2)]),
    ("FROM --platform=$TARGETPLATFORM a\nFROM --platform=${TARGETPLATFORM} b\nFROM --platform=$BUILDPLATFORM c\n",
     [("RedundantTargetPlatform", 1), ("RedundantTargetPlatform", 2)]),
    ("FROM --platform=linux/amd64 a\nFROM --platform=linux/arm64 a AS x-arm64\nFROM --platform=linux/s390x a AS onlinux\n",
     [("FromPlatformFlagConstDisallowed", 1)]),
    ("FROM scratch\nWORKDIR a\nWORKDIR b\nFROM scratch\nWORKDIR /x\nWORKDIR y\n", [("WorkdirRelativePath", 2)]),
    ("FROM scratch AS a\nWORKDIR /x\nFROM a AS b\nFROM b\nWORKDIR y\n", []),
    ("FROM scratch\nCOPY $a $b /\nARG a\nCOPY $a $b$b /\nRUN $c\n", [("UndefinedVar", 2), ("UndefinedVar", 2), ("UndefinedVar", 4)]),
    ("FROM scratch\nENV A=${B:-x} C=${D:+y}\nRUN --mount=target=/$E x\nEXPOSE $F\n", [("UndefinedVar", 2), ("UndefinedVar", 2),
    ("UndefinedVar", 3)]),
    ("FROM scratch AS a\nARG x\nFROM a AS b\nFROM b\nENV y=$x z=$PATH\n", []),
    ("FROM scratch\nCOPY <<E /x\n$none\nE\n", [("UndefinedVar", 2)]),
    ("FROM scratch\nARG DB_PASSWORD\nENV tokens=1 my_token=1 PUBLIC_KEY=1 KEY_FILE=2 Auth=3\n",
     [("SecretsUsedInArgOrEnv", 2), ("SecretsUsedInArgOrEnv", 3), ("SecretsUsedInArgOrEnv", 3)]),
    ("FROM scratch\nEXPOSE 80/TCP 1:2 3/udp\n", [("ExposeProtoCasing", 2), ("ExposeInvalidFormat", 2)]),
    ("FROM scratch\nHEALTHCHECK NONE\nHEALTHCHECK CMD [\"x\"]\n", [("MultipleInstructionsDisallowed", 2)]),
    ("FROM scratch AS a\nCMD [\"x\"]\nFROM a\nCMD [\"y\"]\n", []),
    ("# check=experimental=InvalidDefinitionDescription\n# x is it\nARG x y\n# wrong\nARG z\n\n# a stage\nFROM scratch AS a\n#\nARG q\n",
     [("InvalidDefinitionDescription", 5)]),
])
def test_checks(text: str, expected: list[tuple[str, int]]) -> None:
    assert sorted(rules(text)) == sorted(expected)


def test_a_target_leaves_the_stages_out_that_it_does_not_need() -> None:
    text = "FROM scratch AS a\nCOPY $x /\nFROM scratch AS b\nCOPY $y /\n"
    assert rules(text) == [("UndefinedVar", 2), ("UndefinedVar", 4)]
    assert rules(text, HERE._replace(target="b")) == [("UndefinedVar", 4)]


def test_what_is_known_of_an_image_is_used() -> None:
    text = "FROM golang\nENV P=$GOPATH\nCMD x\n"
    assert rules(text) == [("UndefinedVar", 2), ("JSONArgsRecommended", 3)]
    image = Settings(env=(("PATH", PATH), ("GOPATH", "/go")), shell=("bash",))
    assert rules(text, HERE._replace(base=lambda ref, platform: image)) == []
    assert rules("FROM golang\n", HERE._replace(image_platform=lambda name, platform: Platform("linux", "arm64"))) == [("InvalidBaseImagePlatform", 1)]


def test_files_that_the_ignore_file_leaves_out() -> None:
    at = HERE._replace(ignored={"secret", "d/x"}.__contains__)
    text = "FROM scratch\nCOPY /secret ok /\nADD ./d/../d/x https://h/secret /\nCOPY --from=x secret /\n"
    assert rules(text, at) == [("CopyIgnoredFile", 2), ("CopyIgnoredFile", 3)]


def test_findings_go_on_behind_an_error_and_the_error_is_told() -> None:
    found = report("FROM scratch AS A\nCOPY $x /\nEXPOSE nothing\nCOPY $y /\n")
    assert [finding.rule for finding in found.findings] == ["StageNameCasing", "UndefinedVar", "UndefinedVar"]
    assert isinstance(found.error, LangError)


def test_a_suggestion_names_what_was_meant() -> None:
    (finding,) = report("FROM scratch\nARG VERSION=1\nENV A=$VERSON\n").findings
    assert finding.message == "`$VERSON` is not set, did you mean `$VERSION`?"
    assert finding.span == Span(33, 40)


@pytest.mark.parametrize(("text", "expected"), [
    ("# check=skip=all\nfrom scratch AS A\n", []), ("# check=skip=StageNameCasing, FromAsCasing\nFROM scratch as A\n", []),
    ("# check=skip=stagenamecasing\nFROM scratch AS A\n", ["StageNameCasing"]),
    ("FROM scratch\n# check=skip=LegacyKeyValueFormat // why not\nENV a b\nENV c d\n", ["LegacyKeyValueFormat"]),
    ("FROM scratch\n# hadolint ignore=LegacyKeyValueFormat,DL3000\nENV a b\n", []),
    ("# hadolint global ignore=LegacyKeyValueFormat\nFROM scratch\nENV a b\n", []),
    ("FROM scratch\n# check=skip=all\n#\nENV a b\n", ["LegacyKeyValueFormat"]),
    ("#\n# check=skip=StageNameCasing\nFROM scratch AS A\nENV a b\n", ["LegacyKeyValueFormat"]),
])
def test_switching_rules_off(text: str, expected: list[str]) -> None:
    assert [rule for rule, _ in rules(text)] == expected


@pytest.mark.parametrize("options", ["foo=bar", "skip", "error=maybe", "skip=A;skip=B;error=true;x=1"])
def test_check_options_that_do_not_read(options: str) -> None:
    with pytest.raises(LangError):
        report(f"# check={options}\nFROM scratch\n")


def test_check_options_of_the_build_argument_count_instead() -> None:
    at = HERE._replace(build_args={"BUILDKIT_DOCKERFILE_CHECK": "skip=StageNameCasing;error=true"})
    found = report("# check=skip=LegacyKeyValueFormat\nFROM scratch AS A\nENV a b\n", at)
    assert [finding.rule for finding in found.findings] == ["LegacyKeyValueFormat"]
    assert found.options.error


@pytest.mark.parametrize(("text", "rule"), [
    ("FROM debian\n", "DL3006"), ("FROM debian:latest\n", "DL3007"), ("FROM a:1\nUSER root\n", "DL3002"),
    ("FROM a:1\nUSER 0:0\n", "DL3002"),
    ("FROM a:1\nRUN cd /x && make\n", "DL3003"), ("FROM a:1\nRUN sudo make\n", "DL3004"),
    ("FROM a:1\nRUN apt-get install -y curl\n", "DL3008"),
    ("FROM a:1\nRUN apt-get update && apt-get install x=1\n", "DL3009"), ("FROM a:1\nRUN pip install flask\n", "DL3013"),
    ("FROM a:1\nRUN python3 -m pip install flask\n", "DL3013"),
    ("FROM a:1\nRUN apt-get install x\n", "DL3014"), ("FROM a:1\nRUN apt-get install -y x\n", "DL3015"),
    ("FROM a:1\nRUN npm install -g express\n", "DL3016"),
    ("FROM a:1\nRUN npm install @scope/x\n", "DL3016"), ("FROM a:1\nRUN apk add curl\n", "DL3018"),
    ("FROM a:1\nRUN apk add curl=1\n", "DL3019"), ("FROM a:1\nADD x /x\n", "DL3020"),
    ("FROM a:1\nCOPY x y /z\n", "DL3021"), ("FROM a:1\nCOPY --from=other x /y\n", "DL3022"), ("FROM a:1\nRUN gem install x\n", "DL3028"),
    ("FROM a:1\nRUN yum install x\n", "DL3030"),
    ("FROM a:1\nRUN yum install -y x-1\n", "DL3032"), ("FROM a:1\nRUN yum install -y x\n", "DL3033"),
    ("FROM a:1\nRUN zypper install x\n", "DL3034"),
    ("FROM a:1\nRUN zypper -n install x\n", "DL3036"), ("FROM a:1\nRUN dnf install x\n", "DL3038"),
    ("FROM a:1\nRUN dnf install -y x-1\n", "DL3040"),
    ("FROM a:1\nRUN dnf install -y x\n", "DL3041"), ("FROM a:1\nRUN pip install x==1\n", "DL3042"),
    ("FROM a:1\nENV A=1 B=$A\n", "DL3044"), ("FROM a:1\nCOPY x y\n", "DL3045"),
    ("FROM a:1\nRUN x\n", "DL3057"), ("FROM a:1\nRUN x\nRUN y\n", "DL3059"), ("FROM a:1\nRUN yarn install\n", "DL3060"),
    ("FROM a:1\nRUN go install example.org/x\n", "DL3062"),
    ("FROM a:1\nRUN go install example.org/x@latest\n", "DL3062"),
    ("FROM a:1 AS b\nFROM a:1\nCOPY --from=b / /x\n", "DL3067"), ("FROM a:1\nRUN wget x && curl y\n", "DL4001"),
    ("FROM a:1\nRUN a | b\n", "DL4006"),
    ("# syntax=example.org/mine\nFROM a:1\n", "UnknownSyntax"),
])
def test_hadolint_rules(text: str, rule: str) -> None:
    assert rule in [finding.rule for finding in report(text, more=True).findings]
    assert rule not in [finding.rule for finding in report(text).findings]


@pytest.mark.parametrize(("text", "rule"), [
    ("FROM scratch AS a\nFROM a\nFROM $X\nFROM x@sha256:" + "0" * 64 + "\n", "DL3006"), ("FROM a:1\nUSER root\nUSER me\n", "DL3002"),
    ("FROM a:1\nRUN echo cd \"; cd\"\n", "DL3003"),
    ("FROM a:1\nRUN apt-get install -y x=1 $P ./y.deb -t backports z=2 # comment\n", "DL3008"),
    ("FROM a:1\nRUN apt-get install -yqq x && rm -rf /var/lib/apt/lists/*\n", "DL3009"),
    ("FROM a:1\nRUN --mount=type=cache,target=/var/lib/apt apt-get install x\n", "DL3009"),
    ("FROM a:1\nRUN pip install -r x . x==1 'y>=2' git+https://z\n", "DL3013"),
    ("FROM a:1\nRUN apt-get -qq install x\n", "DL3014"), ("FROM a:1\nRUN apt-get install --assume-yes x\n", "DL3014"),
    ("FROM a:1\nRUN npm install && npm install @s/x@1 y@2 ./z\n", "DL3016"),
    ("FROM a:1\nRUN apk add --virtual .deps x=1\n", "DL3018"), ("FROM a:1\nRUN apk --no-cache add x\n", "DL3019"),
    ("FROM a:1\nADD x.tar.gz /x\nADD https://y /y\nADD $Z /\n", "DL3020"),
    ("FROM a:1\nCOPY x y /z/\nCOPY x y .\n", "DL3021"),
    ("FROM a:1 AS b\nFROM a:1\nCOPY --from=B x /\nCOPY --from=0 x /\nCOPY --from=c:1 x /\n", "DL3022"),
    ("FROM a:1\nRUN pip install --no-cache-dir x\n", "DL3042"), ("FROM a:1\nENV PIP_NO_CACHE_DIR=1\nRUN pip install x\n", "DL3042"),
    ("FROM a:1\nENV PATH=/x:$PATH\n", "DL3044"),
    ("FROM a:1\nWORKDIR /w\nCOPY x y\n", "DL3045"), ("FROM a:1 AS b\nWORKDIR /w\nFROM b\nCOPY x y\n", "DL3045"),
    ("FROM a:1\nHEALTHCHECK NONE\n", "DL3057"),
    ("FROM a:1\nRUN x\nCOPY a /\nRUN y\nRUN --network=none z\n", "DL3059"), ("FROM a:1\nRUN wget x\nFROM a:1\nRUN curl x\n", "DL4001"),
    ("FROM a:1\nSHELL [\"bash\", \"-o\", \"pipefail\", \"-c\"]\nRUN a | b\n", "DL4006"),
    ("FROM a:1\nRUN set -o pipefail; a | b\nRUN a || b\nRUN a '|' b\nRUN [\"a\", \"|\"]\n", "DL4006"),
    ("# syntax=docker/dockerfile:1.7-labs\nFROM a:1\n", "UnknownSyntax"),
])
def test_hadolint_rules_let_pass(text: str, rule: str) -> None:
    assert rule not in [finding.rule for finding in report(text, more=True).findings]


def test_commands_are_found_wherever_they_are() -> None:
    for command in ("RUN if true; then sudo x; fi", "RUN A=1 sudo x", "RUN echo $(sudo x)", "RUN (sudo x)", "RUN x && \\\n  sudo y",
                    "RUN <<E\nx\nsudo y\nE", 'RUN ["sudo", "x"]', 'RUN ["sh", "-c", "x; sudo y"]', "RUN /usr/bin/sudo x", "RUN x 2>&1 | sudo y"):
        found = [f for f in report(f"FROM a:1\n{command}\n", more=True).findings if f.rule == "DL3004"]
        assert len(found) == 1, command


def test_a_finding_in_a_heredoc_points_into_it() -> None:
    text = "FROM a:1\nRUN <<E\ntrue\nsudo x\nE\n"
    (finding,) = [f for f in report(text, more=True).findings if f.rule == "DL3004"]
    assert (text[finding.span.start:finding.span.end], finding.line) == ("sudo", 2)


def test_a_build_argument_that_nobody_declares() -> None:
    found = report("FROM a:1\n", HERE._replace(build_args={"X": "1"}), more=True)
    assert [f.message for f in found.findings if f.rule == "UnusedBuildArg"] == ["no ARG declares the build argument `X`"]


@pytest.mark.parametrize(("before", "after"), [
    ("from scratch as a\nRUN x\nRUN y\n", "FROM scratch AS a\nRUN x\nRUN y\n"), ("FROM scratch AS Build\n", "FROM scratch AS build\n"),
    ("FROM a:1\nENV a b\nLABEL c d e\nENV f \"g\"\n", "FROM a:1\nENV a=b\nLABEL c=\"d e\"\nENV f \"g\"\n"),
    ("FROM a:1\nmaintainer A \"b\" $c\nrun x\n", "from a:1\nlabel org.opencontainers.image.authors=\"A \\\"b\\\" \\$c\"\nrun x\n"),
    ("FROM a:1\nCMD nginx -g x\n", "FROM a:1\nCMD [\"nginx\", \"-g\", \"x\"]\n"),
    ("FROM a:1\nENTRYPOINT exec y\n", "FROM a:1\nENTRYPOINT exec y\n"),
    ("FROM a:1\nCMD x\nENTRYPOINT y\n", "FROM a:1\nCMD x\nENTRYPOINT y\n"),
    ("FROM a:1 AS b\nENTRYPOINT [\"y\"]\nFROM b\nCMD x\n", "FROM a:1 AS b\nENTRYPOINT [\"y\"]\nFROM b\nCMD x\n"),
    ("FROM a:1\nRUN apt-get update && \\\n  # keep\n  apt-get install  curl  # why\nRUN zypper in x\n",
     "FROM a:1\nRUN apt-get update && \\\n  # keep\n  apt-get install -y  curl  # why\nRUN zypper -n in x\n"),
    ("FROM a:1\nEXPOSE 80/TCP $X\n", "FROM a:1\nEXPOSE 80/tcp $X\n"),
    ("# check=skip=ConsistentInstructionCasing\nFrom a:1\n", "# check=skip=ConsistentInstructionCasing\nFrom a:1\n"),
    ("FROM a:1\n\n\n  # layout   stays\n\tRUN   x   \n", "FROM a:1\n\n\n  # layout   stays\n\tRUN   x   \n"),
])
def test_fix(before: str, after: str) -> None:
    assert fix(Source("Dockerfile", before), HERE) == after
    assert fix(Source("Dockerfile", after), HERE) == after


LINES = st.sampled_from([
    "from a:1 as B", "FROM b", "RUN apt-get install x", "run yum install y", "CMD a b", "cmd [\"a\"]", "ENV a b c", "LABEL x y",
    "MAINTAINER me", "# comment", "", "EXPOSE 80/TCP", "ENTRYPOINT exec x", "env a=$b", "COPY a b", "RUN <<E\nsudo x\nE"])


@given(st.lists(LINES, max_size=8).map(lambda lines: "\n".join(["FROM a:1", *lines]) + "\n"))
def test_fixing_twice_is_fixing_once_and_comments_stay(text: str) -> None:
    once = fix(Source("Dockerfile", text), HERE)
    assert fix(Source("Dockerfile", once), HERE) == once
    assert [line for line in once.split("\n") if line.startswith("#")] == [line for line in text.split("\n") if line.startswith("#")]
    assert not [f for f in lint(parse(Source("Dockerfile", once)), HERE, more=True).findings if f.edits]


def test_every_rule_has_a_level_and_its_page() -> None:
    def url(rule: str) -> str:
        return Finding(rule, "", Span(0, 0), 1).url
    assert url("JSONArgsRecommended") == "https://docs.docker.com/go/dockerfile/rule/json-args-recommended/"
    assert url("UndefinedArgInFrom") == "https://docs.docker.com/go/dockerfile/rule/undefined-arg-in-from/"
    assert url("DL3008") == "https://github.com/hadolint/hadolint/wiki/DL3008"
    assert all(Finding(rule, "", Span(0, 0), 1).level for rule in (*CHECKS, *LEVELS))
