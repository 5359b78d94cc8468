"""Passwords do not get out: by the history, by progress lines, by errors, by findings."""

import pytest

from lang.confidential import concealed, is_secret
from lang.diagnostic import Diagnostic, render
from lang.errors import LangError
from lang.evaluate import Evaluated
from lang.lint.linter import Surroundings, lint
from lang.parser import parse
from lang.platform import Platform
from lang.source import Source, Span
from tests.lang.test_errors import walk

AMD64 = Platform("linux", "amd64")


@pytest.mark.parametrize(("text", "shown"), [
    ("https://me:s3cret@host/x", "https://xxxxx:xxxxx@host/x"), ("https://token@host/x", "https://xxxxx@host/x"),
    ("HTTP://me:a@b@host:80", "HTTP://xxxxx:xxxxx@host:80"), ("ssh://git@host/x", "ssh://git@host/x"), ("ssh://git:pw@host", "ssh://git:xxxxx@host"),
    ("ADD http://a:b@c/d.git#e https://f:g@h/ /x", "ADD http://xxxxx:xxxxx@c/d.git#e https://xxxxx:xxxxx@h/ /x"),
    ("https://$USER:${PASS}@host", "https://$USER:${PASS}@host"), ("https://host/@scope/package", "https://host/@scope/package"),
    ("git@github.com:a/b", "git@github.com:a/b"), ("a@b https://c", "a@b https://c"), ("://@", "://@"), ("", ""),
])
def test_concealed(text: str, shown: str) -> None:
    assert concealed(text) == shown


def test_what_is_concealed_in_place_keeps_its_length() -> None:
    assert concealed("ADD https://me:secret@host/x", in_place=True) == "ADD https://xx:xxxxxx@host/x"


@pytest.mark.parametrize(("name", "secret"), [
    ("TOKEN", True), ("npm_token", True), ("API_KEY", True), ("MONKEY", False), ("KEY_FILE", False), ("PUBLIC_KEY", False), ("TOKEN_VERSION", False),
])
def test_names_of_secrets(name: str, secret: bool) -> None:
    assert is_secret(name) is secret


def walked(text: str, **build_args: str) -> Evaluated:
    return walk(Source("Dockerfile", text), build_args)[0]


@pytest.mark.parametrize("line", [
    "ADD https://me:s3cret@host/file /x", "ADD https://me:s3cret@host/x.git#main /x", "ADD $URL /x", 'ADD ["$URL", "/x"]', "RUN curl $URL",
    "RUN curl -H $TOKEN x", "RUN curl https://me:s3cret@host/", "ARG AGAIN=$URL", "ARG AUTH=$TOKEN\nRUN x", "WORKDIR /$TOKEN",
])
def test_no_label_has_a_password(line: str) -> None:
    text = f"FROM scratch\nARG TOKEN\nARG URL\n{line}"
    assert not [step.label for step in walked(text, TOKEN="s3cret", URL="https://me:s3cret@host/").steps if "s3cret" in step.label]


@pytest.mark.parametrize("line", ["ADD https://me:s3cret@host/file /x", "ADD https://me:s3cret@host/x.git#main /x", "ADD $URL /x", "RUN x", "ARG B=$URL"])
def test_the_history_has_no_password_of_a_url(line: str) -> None:
    text = f"FROM scratch\nARG WORD\nARG URL\n{line}"
    history = [step.created_by for step in walked(text, WORD="word", URL="https://me:s3cret@host/").steps]
    assert history[:2] == ["ARG WORD=word", "ARG URL=https://xxxxx:xxxxx@host/"]
    assert "s3cret" not in history[2]


def test_what_is_concealed_is_used_all_the_same() -> None:
    found = walked("FROM scratch\nARG TOKEN\nADD https://me:s3cret@host/file /x\nRUN x", TOKEN="s3cret")
    assert "url='https://me:s3cret@host/file'" in repr(found.steps[1])
    assert "('TOKEN', 's3cret')" in repr(found.steps[2])


def test_an_error_shows_neither_the_password_of_its_message_nor_that_of_the_line() -> None:
    with pytest.raises(LangError) as caught:
        walked("FROM scratch\nADD https://me:s3cret@host/a.git?ref=x#y /x")
    shown = render(caught.value.diagnostics()[0])
    assert "s3cret" not in shown
    assert "ADD https://xx:xxxxxx@host/a.git?ref=x#y /x\n  |     ^^^^" in shown


def test_the_line_before_an_error_is_concealed_too() -> None:
    text = "ADD https://me:s3cret@host/x /x\nRNU x"
    assert "s3cret" not in render(Diagnostic("error", "unknown", Source("Dockerfile", text), Span(32, 35)))


def test_a_finding_has_no_password() -> None:
    tree = parse(Source("Dockerfile", "FROM scratch\nADD https://me:s3cret@host/x y /z"))
    found = lint(tree, Surroundings(AMD64, AMD64), more=True).findings
    assert found and "s3cret" not in "".join(finding.message for finding in found)
