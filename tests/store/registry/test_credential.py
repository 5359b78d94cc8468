"""Where credentials come from, and which one belongs to which registry."""

import json
import os
import sys
from base64 import b64encode
from pathlib import Path
from typing import Any

import pytest

from store.registry.credential import Credential, Credentials, auth_paths, domain_of
from store.registry.errors import InvalidCredentials

AUTH = b64encode(b"me:secret").decode()


def credentials(tmp_path: Path, document: Any, **options: Any) -> Credentials:
    (tmp_path / ".docker").mkdir(exist_ok=True)
    (tmp_path / ".docker/config.json").write_text(document if isinstance(document, str) else json.dumps(document))
    return Credentials({"HOME": str(tmp_path), "XDG_RUNTIME_DIR": str(tmp_path / "run")}, **options)


@pytest.mark.parametrize(("key", "domain", "found"), [
    ("registry.example.com", "registry.example.com", True), ("https://registry.example.com", "registry.example.com", True),
    ("https://registry.example.com/v1/", "registry.example.com", True), ("registry.example.com:5000", "registry.example.com:5000", True),
    ("registry.example.com:5000", "registry.example.com", False), ("registry.example.com", "registry.example.com:5000", False),
    ("example.com", "registry.example.com", False), ("registry.example.com", "example.com", False),
    ("registry.example.com.evil.org", "registry.example.com", False), ("https://index.docker.io/v1/", "docker.io", True),
    ("docker.io", "docker.io", True), ("index.docker.io", "docker.io", True)])
def test_credential_belongs_to_its_registry_only(tmp_path: Path, key: str, domain: str, found: bool) -> None:
    assert credentials(tmp_path, {"auths": {key: {"auth": AUTH}}}).find(domain) == (Credential("me", "secret") if found else None)


def test_entry_of_podman_may_be_for_a_part_of_a_registry(tmp_path: Path) -> None:
    known = credentials(tmp_path, {"auths": {"quay.io/team": {"auth": AUTH}, "quay.io": {"auth": b64encode(b"all:x").decode()}}})
    assert known.find("quay.io", "team/app") == Credential("me", "secret")
    assert known.find("quay.io", "teams/app") == Credential("all", "x")
    assert known.find("quay.io") == Credential("all", "x")


def test_identity_token_goes_before_the_password(tmp_path: Path) -> None:
    found = credentials(tmp_path, {"auths": {"r.io": {"auth": b64encode(b"me:").decode(), "identitytoken": "t"}}}).find("r.io")
    assert found == Credential("me", "", "t")


def test_entry_in_clear_is_read(tmp_path: Path) -> None:
    assert credentials(tmp_path, {"auths": {"r.io": {"username": "me", "password": "p:w"}}}).find("r.io") == Credential("me", "p:w")


def test_empty_entry_is_none(tmp_path: Path) -> None:
    assert credentials(tmp_path, {"auths": {"r.io": {}}}).find("r.io") is None


def test_later_files_are_asked_when_the_first_has_nothing(tmp_path: Path) -> None:
    (tmp_path / "run/containers").mkdir(parents=True)
    (tmp_path / "run/containers/auth.json").write_text(json.dumps({"auths": {"r.io": {"auth": AUTH}}}))
    assert credentials(tmp_path, {"auths": {}}).find("r.io") == Credential("me", "secret")


def test_named_file_is_the_only_one(tmp_path: Path) -> None:
    credentials(tmp_path, {"auths": {"r.io": {"auth": AUTH}}})
    assert auth_paths({"HOME": str(tmp_path), "REGISTRY_AUTH_FILE": "/x"}) == ("/x",)


def test_directory_of_docker_can_be_elsewhere(tmp_path: Path) -> None:
    assert auth_paths({"HOME": "/h", "DOCKER_CONFIG": "/d", "XDG_RUNTIME_DIR": "/r"})[0] == "/d/config.json"


@pytest.mark.parametrize("document", ["{", "[]", "[" * 100_000, '"x"', '{"auths": {"r.io": {"auth": "!!"}}}', '{"auths": {"r.io": {"auth": "/w=="}}}'])
def test_damaged_file_is_one_clear_error(tmp_path: Path, document: str) -> None:
    with pytest.raises(InvalidCredentials, match=r"config\.json"):
        credentials(tmp_path, document).find("r.io")


@pytest.mark.parametrize("document", [{"auths": []}, {"auths": {"r.io": 3}}, {"credHelpers": 1, "auths": None}, {}])
def test_strange_but_valid_file_has_nothing(tmp_path: Path, document: Any) -> None:
    assert credentials(tmp_path, document).find("r.io") is None


def test_helper_of_the_registry_goes_before_the_general_one(tmp_path: Path) -> None:
    asked: list[tuple[str, str]] = []

    def ask(name: str, key: str) -> Credential:
        asked.append((name, key))
        return Credential(name, "x")

    known = credentials(tmp_path, {"credsStore": "all", "credHelpers": {"r.io": "own", "docker.io": "hub"}}, ask=ask)
    known.find("r.io")
    known.find("s.io")
    known.find("docker.io")
    assert asked == [("own", "r.io"), ("all", "s.io"), ("hub", "https://index.docker.io/v1/")]


def test_entry_of_the_file_is_used_where_the_helper_has_none(tmp_path: Path) -> None:
    known = credentials(tmp_path, {"credsStore": "all", "auths": {"r.io": {"auth": AUTH}}}, ask=lambda name, key: None)
    assert known.find("r.io") == Credential("me", "secret")


# ---------------------------------------------------------------- real helpers
HELPER = f"""#!{sys.executable}
import json, os, sys
store = os.environ["HELPER_STORE"]
word, text = sys.argv[1], sys.stdin.read()
kept = json.load(open(store)) if os.path.exists(store) else {{}}
if word == "store":
    entry = json.loads(text)
    kept[entry["ServerURL"]] = entry
elif text.strip() not in kept:
    print("credentials not found in native keychain")
    sys.exit(1)
elif word == "get":
    print(json.dumps(kept[text.strip()]))
else:
    del kept[text.strip()]
json.dump(kept, open(store, "w"))
"""


@pytest.fixture
def helper(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A credential helper named `test` on the PATH."""
    program = tmp_path / "bin/docker-credential-test"
    program.parent.mkdir()
    program.write_text(HELPER)
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    monkeypatch.setenv("HELPER_STORE", str(tmp_path / "kept.json"))
    return "test"


def test_helper_gives_stores_and_erases(helper: str) -> None:
    from store.registry import keychain

    assert keychain.get(helper, "r.io") is None
    keychain.store(helper, "r.io", Credential("me", "secret"))
    assert keychain.get(helper, "r.io") == Credential("me", "secret")
    keychain.store(helper, "s.io", Credential("me", "", "token"))
    assert keychain.get(helper, "s.io") == Credential(identity="token")
    keychain.erase(helper, "r.io")
    keychain.erase(helper, "r.io")
    assert keychain.get(helper, "r.io") is None


@pytest.mark.parametrize(("body", "why"), [
    ("echo no; exit 3", "no"), ("exit 3", "status 3"), ("echo '{'", "no JSON"), ("echo '[]'", "no JSON object"), ("printf '\\033[31m'; exit 1", "does not give")])
def test_helper_that_fails_is_one_clear_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, body: str, why: str) -> None:
    from store.registry import keychain

    program = tmp_path / "docker-credential-bad"
    program.write_text(f"#!/bin/sh\n{body}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    with pytest.raises(InvalidCredentials, match=why) as caught:
        keychain.get("bad", "r.io")
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("name", ["", "../evil", "a/b", "a b", "-x", "$(id)", ".x"])
def test_helper_with_a_strange_name_is_not_run(name: str) -> None:
    from store.registry import keychain

    with pytest.raises(InvalidCredentials, match="no name"):
        keychain.get(name, "r.io")


def test_missing_helper_is_one_clear_error() -> None:
    from store.registry import keychain

    with pytest.raises(InvalidCredentials, match="not on the PATH"):
        keychain.get("surely-not-installed", "r.io")


@pytest.mark.parametrize(("key", "domain"), [("https://index.docker.io/v1/", "docker.io"), ("http://r.io:5000/v2/", "r.io:5000"), ("r.io", "r.io")])
def test_domain_of_a_key(key: str, domain: str) -> None:
    assert domain_of(key) == domain
