"""Logging in and out: what is asked, what is kept, and how."""

import json
import os
import stat
from pathlib import Path

import pytest

from store.errors import StoreError
from store.registry.credential import Credential, Credentials
from store.registry.errors import AccessDenied, InvalidCredentials, RegistryError
from store.registry.login import check, domain_of_server, forget, keep
from tests.store.registry.conftest import Sessions
from tests.store.registry.fake import FakeRegistry
from tests.store.registry.test_credential import helper  # noqa: F401  # a fixture

ME = Credential("me", "secret")


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    return {"HOME": str(tmp_path / "home"), "XDG_RUNTIME_DIR": str(tmp_path / "run")}


def config(environment: dict[str, str]) -> Path:
    return Path(environment["HOME"]) / ".docker/config.json"


@pytest.mark.parametrize("auth", ["basic", "token", ""])
def test_good_credential_is_taken(sessions: Sessions, auth: str) -> None:
    with FakeRegistry(auth=auth) as registry:
        assert check(sessions(credential=ME), registry.host) == ""


@pytest.mark.parametrize("auth", ["basic", "token"])
def test_bad_credential_is_not(sessions: Sessions, auth: str) -> None:
    with FakeRegistry(auth=auth) as registry, pytest.raises(AccessDenied) as caught:
        check(sessions(credential=Credential("me", "wrong")), registry.host)
    assert not caught.value.help                         # whoever logs in need not be told to


def test_what_is_no_registry_is_said(sessions: Sessions, registry: FakeRegistry) -> None:
    registry.says("GET", "/v2/", 404, times=9)
    with pytest.raises(RegistryError):
        check(sessions(credential=ME), registry.host)


def test_identity_token_is_kept_instead_of_the_password(sessions: Sessions, environment: dict[str, str]) -> None:
    with FakeRegistry(auth="token") as registry:
        registry.says("GET", "/token", 200, body=b'{"token": "t", "refresh_token": "identity"}')
        registry.tokens["t"] = ""
        identity = check(sessions(credential=ME), registry.host)
    assert identity == "identity"
    keep("r.io", ME._replace(identity=identity), environment)
    assert "secret" not in config(environment).read_text()
    assert Credentials(environment).find("r.io") == Credential("me", "", "identity")


def test_kept_credential_is_found_again(environment: dict[str, str]) -> None:
    kept = keep("r.io", ME, environment)
    assert kept.plain and Path(kept.place) == config(environment)
    assert Credentials(environment).find("r.io") == ME


def test_hub_has_the_key_that_docker_gives_it(environment: dict[str, str]) -> None:
    keep("docker.io", ME, environment)
    assert list(json.loads(config(environment).read_text())["auths"]) == ["https://index.docker.io/v1/"]
    assert Credentials(environment).find("docker.io") == ME


def test_file_is_private_and_keeps_what_else_it_says(environment: dict[str, str]) -> None:
    config(environment).parent.mkdir(parents=True)
    config(environment).write_text('{"psFormat": "x", "auths": {"a.io": {"auth": "eDp5"}}, "unknown": [1, {"b": null}]}')
    config(environment).chmod(0o644)
    keep("r.io", ME, environment)
    document = json.loads(config(environment).read_text())
    assert document["unknown"] == [1, {"b": None}] and document["psFormat"] == "x" and set(document["auths"]) == {"a.io", "r.io"}
    assert stat.S_IMODE(config(environment).stat().st_mode) == 0o600
    assert os.listdir(config(environment).parent) == ["config.json"]


def test_link_stays_a_link(environment: dict[str, str], tmp_path: Path) -> None:
    config(environment).parent.mkdir(parents=True)
    (tmp_path / "dotfiles").mkdir()
    (tmp_path / "dotfiles/docker.json").write_text("{}")
    config(environment).symlink_to(tmp_path / "dotfiles/docker.json")
    keep("r.io", ME, environment)
    assert config(environment).is_symlink() and "r.io" in (tmp_path / "dotfiles/docker.json").read_text()


def test_damaged_file_is_not_written_over(environment: dict[str, str]) -> None:
    config(environment).parent.mkdir(parents=True)
    config(environment).write_text("{")
    with pytest.raises(InvalidCredentials):
        keep("r.io", ME, environment)
    assert config(environment).read_text() == "{"


def test_place_that_cannot_be_written_is_one_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InvalidCredentials, match="cannot be written"):
        keep("r.io", ME, {"HOME": str(tmp_path), "REGISTRY_AUTH_FILE": str(tmp_path / "file/auth.json")})


def test_helper_keeps_the_password(helper: str, environment: dict[str, str]) -> None:     # noqa: F811
    config(environment).parent.mkdir(parents=True)
    config(environment).write_text(json.dumps({"credsStore": helper}))
    kept = keep("r.io", ME, environment)
    assert (kept.place, kept.plain) == ("docker-credential-test", False)
    assert json.loads(config(environment).read_text())["auths"] == {"r.io": {}}
    assert Credentials(environment).find("r.io") == ME
    assert forget("r.io", environment) == (True, ())
    assert Credentials(environment).find("r.io") is None


def test_logout_forgets_every_spelling(environment: dict[str, str]) -> None:
    config(environment).parent.mkdir(parents=True)
    config(environment).write_text(json.dumps({"auths": {name: {"auth": "eDp5"} for name in ("r.io", "https://r.io/v1/", "s.io", "r.io/team")}}))
    assert forget("r.io", environment) == (True, ())
    assert set(json.loads(config(environment).read_text())["auths"]) == {"s.io", "r.io/team"}
    assert forget("r.io", environment) == (False, ())


def test_logout_tells_of_other_files(environment: dict[str, str]) -> None:
    other = Path(environment["XDG_RUNTIME_DIR"]) / "containers/auth.json"
    other.parent.mkdir(parents=True)
    other.write_text(json.dumps({"auths": {"r.io": {"auth": "eDp5"}}}))
    assert forget("r.io", environment) == (False, (str(other),))


def test_logout_without_any_file_makes_none(environment: dict[str, str]) -> None:
    assert forget("r.io", environment) == (False, ())
    assert not config(environment).exists()


@pytest.mark.parametrize(("text", "domain"), [
    ("", "docker.io"), ("docker.io", "docker.io"), ("https://index.docker.io/v1/", "docker.io"), ("r.io", "r.io"), ("https://r.io:5000/", "r.io:5000"),
    ("localhost", "localhost"), ("localhost:5000", "localhost:5000")])
def test_server_as_users_call_it(text: str, domain: str) -> None:
    assert domain_of_server(text) == domain


@pytest.mark.parametrize("text", ["nothing", "a b.io", "-x.io", "r.io:port", "../x", "\x1b.io"])
def test_what_is_no_server_is_said(text: str) -> None:
    with pytest.raises(StoreError):
        domain_of_server(text)
