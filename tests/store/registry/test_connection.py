"""Who is told what: authentication, redirects, TLS, proxies, headers."""

import socket
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from store.config import Config, InvalidConfig, RegistryConfig
from store.reference import parse_reference
from store.registry.connection import Trouble
from store.registry.credential import Credential
from store.registry.errors import AccessDenied, NotInRegistry, RegistryBlocked, RegistryBroken, RegistryUnreachable
from store.registry.patience import Surroundings
from store.registry.pull import pull
from store.registry.repository import Repository
from store.registry.session import Session
from store.store import Store
from tests.store.making import member, tar_of
from tests.store.registry.certificates import Authority
from tests.store.registry.conftest import Sessions
from tests.store.registry.fake import FakeRegistry, digest_of

ONE = tar_of(member("a", content=b"1"))
ME = Credential("me", "secret")


def repository(session: Session, registry: FakeRegistry, path: str = "app") -> Repository:
    return session.repository(parse_reference(f"{registry.host}/{path}:1"))


# ---------------------------------------------------------------- who we are
@pytest.mark.parametrize("auth", ["basic", "token"])
def test_credential_opens_the_registry(store: Store, sessions: Sessions, auth: str) -> None:
    with FakeRegistry(auth=auth) as registry:
        registry.image("app", "1", ONE)
        pull(store, sessions(credential=ME), f"{registry.host}/app:1")


@pytest.mark.parametrize("auth", ["basic", "token"])
@pytest.mark.parametrize("credential", [None, Credential("me", "wrong")])
def test_stranger_is_denied_with_a_way_out(store: Store, sessions: Sessions, auth: str, credential: "Credential | None") -> None:
    with FakeRegistry(auth=auth) as registry:
        registry.image("app", "1", ONE)
        with pytest.raises(AccessDenied) as caught:
            pull(store, sessions(credential=credential), f"{registry.host}/app:1")
        assert "denies access" in str(caught.value) and f"pybuild login {registry.host}" in caught.value.help


def test_token_is_fetched_once_for_a_scope(store: Store, sessions: Sessions) -> None:
    with FakeRegistry(auth="token") as registry:
        registry.image("app", "1", ONE, tar_of(member("b", content=b"2")))
        pull(store, sessions(credential=ME), f"{registry.host}/app:1")
        assert list(registry.tokens.values()) == ["repository:app:pull"]
        assert len([a for a in registry.log if "Authorization" not in a.headers]) == 1       # the first question


def test_token_that_ended_is_renewed(sessions: Sessions) -> None:
    with FakeRegistry(auth="token") as registry:
        registry.image("app", "1", ONE)
        asked = repository(sessions(credential=ME), registry)
        asked.manifest("1")
        registry.tokens.clear()
        registry.tokens["other"] = ""
        assert asked.manifest("1").data


def test_identity_token_is_exchanged(sessions: Sessions) -> None:
    with FakeRegistry(auth="token") as registry:
        registry.image("app", "1", ONE)
        assert repository(sessions(credential=Credential(identity="identity")), registry).manifest("1").data
        assert registry.asked("POST", "/token")[0].headers["Content-Type"] == "application/x-www-form-urlencoded"
        with pytest.raises(AccessDenied):
            repository(sessions(credential=Credential(identity="old")), registry).manifest("1")


@pytest.mark.parametrize("body", [b"", b"{}", b"[]", b'{"token": 3}', b'{"token": "a\\nb"}', b'{"token": "' + b"x" * (2 << 20) + b'"}'])
def test_token_service_that_gives_no_token_is_an_error(sessions: Sessions, body: bytes) -> None:
    with FakeRegistry(auth="token") as registry:
        registry.says("GET", "/token", 200, body=body)
        with pytest.raises(RegistryBroken):
            repository(sessions(credential=ME), registry).manifest("1")


def test_busy_token_service_is_asked_again(sessions: Sessions, waits: list[float]) -> None:
    with FakeRegistry(auth="token") as registry:
        registry.image("app", "1", ONE)
        registry.says("GET", "/token", 503, times=2)
        assert repository(sessions(credential=ME), registry).manifest("1").data and len(waits) == 2


@pytest.mark.parametrize("realm", ["file:///etc/passwd", "ftp://x/y", "", "//x", "http://"])
def test_realm_that_is_no_token_service_is_refused(sessions: Sessions, realm: str) -> None:
    with FakeRegistry(auth="token", realm=realm or "x") as registry:
        with pytest.raises(RegistryBroken, match="token service"):
            repository(sessions(credential=ME), registry).manifest("1")


# ---------------------------------------------------------------- redirects
def test_credentials_do_not_follow_a_redirect_to_another_host(store: Store, sessions: Sessions) -> None:
    """CVE-2020-15157 and its kin: blobs are often elsewhere, and that is told nothing."""
    with FakeRegistry(auth="token") as registry, FakeRegistry() as elsewhere:
        registry.image("app", "1", ONE)
        elsewhere.image("app", "1", ONE)
        for digest in registry.blobs["app"]:
            registry.says("GET", digest, 307, headers={"Location": f"{elsewhere.url}/v2/app/blobs/{digest}"})
        session = sessions(credential=ME, environment={"DOCKER_CONFIG": "/nonexistent"})
        pull(store, session, f"{registry.host}/app:1")
        assert len(elsewhere.log) == 2 and all("Authorization" not in a.headers for a in elsewhere.log)


def test_credentials_follow_a_redirect_within_the_registry(sessions: Sessions) -> None:
    with FakeRegistry(auth="basic") as registry:
        registry.image("app", "1", ONE)
        registry.says("GET", "/v2/moved/manifests/1", 302, times=9, headers={"Location": "/v2/app/manifests/1"})
        found = repository(sessions(credential=ME), registry, "moved").manifest("1")
        assert found.digest in registry.manifests["app"]


def test_extra_headers_do_not_follow_a_redirect(sessions: Sessions, tmp_path: Path) -> None:
    (tmp_path / "docker").mkdir()
    (tmp_path / "docker/config.json").write_text('{"HttpHeaders": {"X-Team": "ours"}}')
    with FakeRegistry() as registry, FakeRegistry() as elsewhere:
        elsewhere.image("app", "1", ONE)
        registry.says("GET", "/manifests/", 307, headers={"Location": f"{elsewhere.url}/v2/app/manifests/1"})
        repository(sessions(environment={"DOCKER_CONFIG": str(tmp_path / "docker")}), registry).manifest("1")
        assert registry.asked("GET", "/manifests/")[0].headers["X-Team"] == "ours"
        assert "X-Team" not in elsewhere.asked("GET", "/manifests/")[0].headers


@pytest.mark.parametrize("location", ["file:///etc/passwd", "gopher://x/", "http://a b/"])
def test_redirect_to_what_is_no_address_is_refused(session: Session, registry: FakeRegistry, location: str) -> None:
    registry.says("GET", "/manifests/", 302, headers={"Location": location})
    with pytest.raises((RegistryBroken, RegistryUnreachable)):
        repository(session, registry).manifest("1")


def test_redirects_without_an_end_are_refused(session: Session, registry: FakeRegistry) -> None:
    registry.says("GET", "/manifests/", 302, times=99, headers={"Location": "/v2/app/manifests/1"})
    with pytest.raises(RegistryBroken, match="more than"):
        repository(session, registry).manifest("1")


def test_redirect_from_https_to_http_is_refused(sessions: Sessions, tmp_path: Path) -> None:
    authority = Authority(tmp_path / "tls")
    with FakeRegistry(tls=authority.issue("server")) as registry, FakeRegistry() as plain:
        registry.says("GET", "/manifests/", 307, headers={"Location": f"{plain.url}/v2/app/manifests/1"})
        with pytest.raises(RegistryBroken, match="https to http"):
            repository(sessions(Config({registry.host: RegistryConfig(insecure=False, ca=(authority.path,))})), registry).manifest("1")
        assert plain.log == []


def test_upload_elsewhere_is_told_no_credentials(store: Store, sessions: Sessions) -> None:
    from store.registry.push import push
    from tests.store.making import image_of

    with FakeRegistry(auth="basic") as registry, FakeRegistry() as elsewhere:
        elsewhere.uploads["u"] = bytearray()
        registry.says("POST", "/uploads/", 202, times=9, headers={"Location": f"{elsewhere.url}/v2/app/blobs/uploads/u"})
        image_of(store, {"a": b"1"}, names=(f"{registry.host}/app:1",))
        with pytest.raises(Exception):      # noqa: B017  # whatever comes of it
            push(store, sessions(credential=ME), f"{registry.host}/app:1")
        assert elsewhere.log and all("Authorization" not in a.headers for a in elsewhere.log)


# ---------------------------------------------------------------- TLS
@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path / "tls")


@pytest.fixture
def secure(authority: Authority) -> Iterator[FakeRegistry]:
    with FakeRegistry(tls=authority.issue("server")) as running:
        running.image("app", "1", ONE)
        yield running


def strict(registry: FakeRegistry, **fields: object) -> Config:
    return Config({registry.host: RegistryConfig(insecure=False, **fields)})     # type: ignore[arg-type]


def test_authority_of_the_configuration_is_trusted(sessions: Sessions, secure: FakeRegistry, authority: Authority) -> None:
    assert repository(sessions(strict(secure, ca=(authority.path,))), secure).manifest("1").data


def test_unknown_authority_is_not_trusted(sessions: Sessions, secure: FakeRegistry, waits: list[float]) -> None:
    with pytest.raises(RegistryUnreachable, match="cannot be trusted") as caught:
        repository(sessions(strict(secure)), secure).manifest("1")
    assert "insecure = true" in caught.value.help and waits == []


@pytest.mark.filterwarnings("ignore::urllib3.exceptions.InsecureRequestWarning")
def test_insecure_registry_may_have_any_certificate(sessions: Sessions, secure: FakeRegistry) -> None:
    assert repository(sessions(), secure).manifest("1").data             # 127.0.0.1 is insecure unless said otherwise


def test_secure_registry_is_never_asked_by_http(sessions: Sessions, registry: FakeRegistry) -> None:
    registry.image("app", "1", ONE)
    with pytest.raises(RegistryUnreachable, match="does not speak TLS") as caught:
        repository(sessions(strict(registry)), registry).manifest("1")
    assert registry.log == [] and "insecure = true" in caught.value.help


def test_certificates_of_docker_and_podman_are_found(sessions: Sessions, secure: FakeRegistry, authority: Authority, tmp_path: Path) -> None:
    directory = tmp_path / "certs.d" / secure.host
    directory.mkdir(parents=True)
    (directory / "any.crt").write_bytes(Path(authority.path).read_bytes())
    assert repository(sessions(strict(secure), directories=(str(tmp_path / "certs.d"),)), secure).manifest("1").data


@pytest.fixture
def choosy(authority: Authority) -> Iterator[FakeRegistry]:
    """It wants to see a certificate of its authority."""
    with FakeRegistry(tls=authority.issue("server")) as registry:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*authority.issue("server"))
        context.load_verify_locations(authority.path)
        context.verify_mode = ssl.CERT_REQUIRED
        registry._server.socket = context.wrap_socket(socket.socket(fileno=registry._server.socket.detach()), server_side=True,
                                                      do_handshake_on_connect=False)
        registry.image("app", "1", ONE)
        yield registry


def test_certificate_of_ours_is_shown(sessions: Sessions, choosy: FakeRegistry, authority: Authority) -> None:
    certificate, key = authority.issue("client")
    config = strict(choosy, ca=(authority.path,), certificate=certificate, key=key)
    assert repository(sessions(config), choosy).manifest("1").data


@pytest.mark.filterwarnings("ignore::urllib3.exceptions.InsecureRequestWarning")
@pytest.mark.parametrize("insecure", [True, False])
def test_certificate_of_ours_that_is_wanted_is_asked_for(sessions: Sessions, choosy: FakeRegistry, authority: Authority, insecure: bool) -> None:
    """By an insecure registry too: it is not taken for one without TLS."""
    config = Config() if insecure else strict(choosy, ca=(authority.path,))
    with pytest.raises(RegistryUnreachable, match=r"wants a certificate of ours|TLS") as caught:
        repository(sessions(config), choosy).manifest("1")
    assert "`certificate`" in caught.value.help


def test_certificates_laid_down_for_a_registry_of_this_machine_count(sessions: Sessions, choosy: FakeRegistry, authority: Authority,
                                                                     tmp_path: Path) -> None:
    directory = tmp_path / "certs.d" / choosy.host
    directory.mkdir(parents=True)
    certificate, key = authority.issue("client")
    for name, path in (("ca.crt", authority.path), ("client.cert", certificate), ("client.key", key)):
        (directory / name).write_bytes(Path(path).read_bytes())
    assert repository(sessions(directories=(str(tmp_path / "certs.d"),)), choosy).manifest("1").data


def test_certificate_that_is_none_is_an_error_of_the_configuration(sessions: Sessions, secure: FakeRegistry, tmp_path: Path) -> None:
    (tmp_path / "bad.pem").write_text("no certificate")
    with pytest.raises(InvalidConfig, match=r"bad\.pem"):
        repository(sessions(strict(secure, ca=(str(tmp_path / "bad.pem"),))), secure).manifest("1")


def test_blocked_registry_is_never_asked(sessions: Sessions, registry: FakeRegistry) -> None:
    with pytest.raises(RegistryBlocked):
        repository(sessions(Config({registry.host: RegistryConfig(blocked=True)})), registry)


# ---------------------------------------------------------------- proxies
def test_proxy_of_the_environment_is_used(sessions: Sessions, registry: FakeRegistry) -> None:
    """The fake answers absolute URLs as a proxy does: by their path."""
    registry.image("app", "1", ONE)
    session = sessions(Config({"registry.invalid": RegistryConfig(insecure=True)}), environment={"HTTP_PROXY": f"http://u:p@{registry.host}"}, attempts=1)
    assert session.repository(parse_reference("registry.invalid/app:1")).manifest("1").data
    asked = registry.log[-1]
    assert asked.path == "http://registry.invalid/v2/app/manifests/1" and {k.lower(): v for k, v in asked.headers.items()}["proxy-authorization"] == "Basic dTpw"


def test_no_proxy_is_heeded(sessions: Sessions, registry: FakeRegistry) -> None:
    environment = {"HTTPS_PROXY": f"http://{registry.host}", "NO_PROXY": ".invalid"}
    with pytest.raises(RegistryUnreachable, match="does not resolve"):
        sessions(environment=environment, attempts=1).repository(parse_reference("registry.invalid/app:1")).manifest("1")
    assert registry.log == []


# ---------------------------------------------------------------- what is no registry
@pytest.mark.parametrize("speech", [b"", b"SSH-2.0-OpenSSH\r\n", b"HTTP/1.1 banana\r\n\r\n", b"\0" * 4096, b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 5000 + b"\r\n"])
def test_whatever_answers_the_error_is_clear(sessions: Sessions, speech: bytes) -> None:
    server = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                connection, _ = server.accept()
            except OSError:
                return
            with connection:
                connection.settimeout(2)
                try:
                    connection.recv(1 << 16)
                    connection.sendall(speech)
                except OSError:
                    pass

    threading.Thread(target=serve, daemon=True).start()
    with pytest.raises((RegistryUnreachable, NotInRegistry, RegistryBroken)):
        sessions(attempts=2).repository(parse_reference(f"127.0.0.1:{server.getsockname()[1]}/app:1")).manifest("1")
    server.shutdown(socket.SHUT_RDWR)
    server.close()


def test_impatient_question_says_what_happened(session: Session, registry: FakeRegistry) -> None:
    registry.says("GET", "/x", 503, headers={"Retry-After": "3"})
    with pytest.raises(Trouble) as caught:
        session.connections(registry.host)[-1].request("GET", "/x", patient=False)
    assert caught.value.wait == 3


def test_tags_are_listed_page_by_page(session: Session, registry: FakeRegistry) -> None:
    for tag in ("a", "b", "c", "d", "e"):
        registry.image("app", tag, ONE)
    assert list(repository(session, registry).tags()) == ["a", "b", "c", "d", "e"]
    assert len(registry.asked("GET", "/tags/list")) == 3


@pytest.mark.parametrize("native", [True, False])
def test_referrers_are_found_either_way(session: Session, native: bool) -> None:
    with FakeRegistry(referrers=native) as registry:
        digest = registry.image("app", "1", ONE)
        about = {"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json", "artifactType": "text/sbom",
                 "config": {"mediaType": "application/vnd.oci.empty.v1+json", "digest": digest_of(b"{}"), "size": 2}, "layers": [],
                 "subject": {"mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": digest, "size": 1}}
        referrer = registry.put_manifest("app", "about", about)
        if not native:
            entry = {"mediaType": about["mediaType"], "digest": referrer, "size": 1, "artifactType": "text/sbom"}
            registry.put_manifest("app", digest.replace(":", "-"), {"schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json",
                                                                     "manifests": [entry]}, "application/vnd.oci.image.index.v1+json")
        from store.digest import Digest

        found = repository(session, registry).referrers(Digest(digest), "text/sbom")
        assert [d.digest for d in found] == [referrer]
        assert repository(session, registry).referrers(Digest(digest), "text/other") == ()


def test_secrets_are_not_in_a_repr() -> None:
    assert "secret" not in repr(ME) and "secret" not in repr(Surroundings({}))


@pytest.mark.parametrize(("name", "why"), [("no-such-registry.invalid/app", "does not resolve"), ("127.0.0.1:1/app", "connection refused")])
def test_registry_that_was_never_reached_is_asked_once_more_only(sessions: Sessions, waits: list[float], name: str, why: str) -> None:
    with pytest.raises(RegistryUnreachable, match=why):
        sessions(attempts=6).repository(parse_reference(f"{name}:1")).manifest("1")
    assert len(waits) == 1 and waits[0] < 1


def test_registry_that_has_answered_is_worth_more_patience(sessions: Sessions, waits: list[float]) -> None:
    with FakeRegistry() as registry:
        registry.image("app", "1", ONE)
        known = repository(sessions(attempts=4), registry)
        assert known.manifest("1").data
    known.home.close()                                   # its connections, which threads of the fake may still hold
    with pytest.raises(RegistryUnreachable, match="connection refused"):
        known.manifest("1")
    assert len(waits) == 3
