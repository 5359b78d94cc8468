"""Who is asked for a registry's content, and how."""

from pathlib import Path

import pytest

from store.config import Config, InvalidConfig, RegistryConfig
from store.registry.endpoint import HUB, Endpoint, Tls, endpoints
from store.registry.hostfile import HostFile, read_hostfile
from store.registry.proxy import is_excepted, is_loopback, proxy_for


def hostfile(tmp_path: Path, text: str, domain: str = "r.io") -> "HostFile | None":
    directory = tmp_path / "certs.d" / domain
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "hosts.toml").write_text(text)
    return read_hostfile(domain, (str(tmp_path / "certs.d"),))


def test_registry_answers_for_itself_by_https() -> None:
    assert endpoints("r.io", Config()) == (Endpoint("r.io", "https"),)


def test_hub_answers_for_docker_io() -> None:
    assert endpoints("docker.io", Config())[0].host == HUB


@pytest.mark.parametrize("host", ["localhost", "localhost:5000", "127.0.0.1:5000", "127.8.9.1", "[::1]:5000"])
def test_this_machine_needs_no_certificate(host: str) -> None:
    assert endpoints(host, Config()) == (Endpoint(host, "", tls=Tls(verify=False)),)


@pytest.mark.parametrize("host", ["localhost.example.com", "127.0.0.1.nip.io", "127.0.0.256", "r.io", "10.0.0.1", "128.0.0.1", "sub.localhost"])
def test_others_do(host: str) -> None:
    assert endpoints(host, Config())[0].scheme == "https" and not is_loopback(host)


def test_mirrors_come_first_and_never_get_pushes() -> None:
    config = Config({"docker.io": RegistryConfig(mirrors=("https://m.io/hub", "http://n.io:5000", "o.io")), "o.io": RegistryConfig(insecure=True)})
    found = endpoints("docker.io", config)
    assert [(e.host, e.scheme, e.path, e.mirror_of) for e in found] == [
        ("m.io", "https", "/hub/v2", "docker.io"), ("n.io:5000", "http", "/v2", "docker.io"), ("o.io", "", "/v2", "docker.io"),
        (HUB, "https", "/v2", "")]
    assert all("push" not in e.can for e in found[:-1]) and "push" in found[-1].can


def test_settings_of_a_registry() -> None:
    config = Config({"r.io": RegistryConfig(ca=("/ca",), certificate="/c", key="/k")})
    assert endpoints("r.io", config)[0].tls == Tls(ca=("/ca",), certificates=(("/c", "/k"),))


def test_hosts_of_containerd(tmp_path: Path) -> None:
    found = hostfile(tmp_path, '''
server = "https://r.io"
[host."https://m.io"]
  capabilities = ["pull"]
  ca = "m.crt"
  skip_verify = true
[host."http://n.io/prefix"]
  override_path = true
  client = [["c.pem", "k.pem"]]
  [host."http://n.io/prefix".header]
    X-Key = ["a", "b"]
''')
    assert found is not None
    mirrors = endpoints("r.io", Config(), lambda host: found)[:-1]
    base = str(tmp_path / "certs.d/r.io")
    assert mirrors == (
        Endpoint("m.io", "https", "/v2", "r.io", ("pull",), Tls(False, (f"{base}/m.crt",))),
        Endpoint("n.io", "http", "/prefix", "r.io", tls=Tls(certificates=((f"{base}/c.pem", f"{base}/k.pem"),)), headers=(("X-Key", "a"), ("X-Key", "b"))))
    assert endpoints("r.io", Config(), lambda host: found)[-1] == Endpoint("r.io", "https")


def test_server_of_containerd_takes_the_registrys_place(tmp_path: Path) -> None:
    found = hostfile(tmp_path, 'server = "https://other.io/team"')
    assert endpoints("r.io", Config(), lambda host: found) == (Endpoint("other.io", "https", "/team/v2"),)


def test_directory_with_a_port_has_two_spellings(tmp_path: Path) -> None:
    assert hostfile(tmp_path, 'server = "https://x.io"', "r.io_5000_") is not None
    assert read_hostfile("r.io:5000", (str(tmp_path / "certs.d"),)) is not None


def test_default_directory_is_for_all(tmp_path: Path) -> None:
    hostfile(tmp_path, '[host."https://m.io"]', "_default")
    found = read_hostfile("any.io", (str(tmp_path / "certs.d"),))
    assert found is not None and found.mirrors[0].host == "m.io"


def test_first_directory_that_says_something_counts(tmp_path: Path) -> None:
    for name, host in (("one", "a.io"), ("two", "b.io")):
        (tmp_path / name / "r.io").mkdir(parents=True)
        (tmp_path / name / "r.io/hosts.toml").write_text(f'[host."https://{host}"]')
    found = read_hostfile("r.io", (str(tmp_path / "none"), str(tmp_path / "one"), str(tmp_path / "two")))
    assert found is not None and found.mirrors[0].host == "a.io"


def test_certificates_of_docker(tmp_path: Path) -> None:
    directory = tmp_path / "r.io"
    directory.mkdir()
    for name in ("a.crt", "client.cert", "client.key", "readme"):
        (directory / name).write_text("")
    found = read_hostfile("r.io", (str(tmp_path),))
    assert found is not None and found.tls == Tls(ca=(f"{directory}/a.crt",), certificates=((f"{directory}/client.cert", f"{directory}/client.key"),))
    assert endpoints("r.io", Config(), lambda host: found)[0].tls == found.tls


@pytest.mark.parametrize(("insecure", "tls", "scheme", "expected"), [
    (None, Tls(ca=("/ca",), certificates=(("/c", "/k"),)), "https", Tls(ca=("/ca",), certificates=(("/c", "/k"),))),
    (None, Tls(certificates=(("/c", "/k"),)), "", Tls(False, certificates=(("/c", "/k"),))),
    (True, Tls(ca=("/ca",), certificates=(("/c", "/k"),)), "", Tls(False, ("/ca",), (("/c", "/k"),))),
    (False, Tls(ca=("/ca",)), "https", Tls(ca=("/ca",)))])
def test_certificates_of_this_machines_own_registry(insecure: "bool | None", tls: Tls, scheme: str, expected: Tls) -> None:
    """Whoever has laid an authority there wants it to be asked for; an insecure registry may want to see a certificate all the same."""
    found = endpoints("localhost:5000", Config({"localhost:5000": RegistryConfig(insecure=insecure)}), lambda host: HostFile(tls=tls))
    assert found == (Endpoint("localhost:5000", scheme, tls=expected),)


def test_certificates_of_a_mirror_are_those_of_its_own_directory() -> None:
    config = Config({"r.io": RegistryConfig(mirrors=("https://m.io", "http://n.io"))})
    tls = {"m.io": HostFile(tls=Tls(ca=("/m",))), "n.io": HostFile(tls=Tls(ca=("/n",)))}
    assert [e.tls for e in endpoints("r.io", config, tls.get)] == [Tls(ca=("/m",)), Tls(), Tls()]


def test_certificate_without_its_key_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "r.io").mkdir()
    (tmp_path / "r.io/client.cert").write_text("")
    with pytest.raises(InvalidConfig, match="has no key"):
        read_hostfile("r.io", (str(tmp_path),))


@pytest.mark.parametrize("text", ["[", "host = 3", '[host."ftp://x"]', 'host."https://m.io" = 3', '[host."https://m.io"]\ncapabilities = 3',
                                  '[host."https://"]', '[host."https://m.io"]\nclient = [[1, 2]]'])
def test_damaged_hosts_file_is_one_clear_error(tmp_path: Path, text: str) -> None:
    with pytest.raises(InvalidConfig, match=r"hosts\.toml"):
        hostfile(tmp_path, text)


# ---------------------------------------------------------------- proxies
@pytest.mark.parametrize(("scheme", "host", "environment", "proxy"), [
    ("https", "r.io", {"HTTPS_PROXY": "http://p:1"}, "http://p:1"), ("http", "r.io", {"HTTPS_PROXY": "http://p:1"}, ""),
    ("https", "r.io", {"https_proxy": "p:1", "HTTPS_PROXY": "q:1"}, "http://p:1"), ("https", "r.io", {"ALL_PROXY": "http://p"}, "http://p"),
    ("https", "127.0.0.1", {"HTTPS_PROXY": "p"}, ""), ("https", "localhost", {"HTTPS_PROXY": "p"}, ""), ("https", "r.io", {}, ""),
    ("https", "r.io", {"HTTPS_PROXY": "p", "NO_PROXY": "r.io"}, "")])
def test_proxy_for_a_host(scheme: str, host: str, environment: dict[str, str], proxy: str) -> None:
    assert proxy_for(scheme, host, 443, environment) == proxy


@pytest.mark.parametrize(("host", "exceptions", "excepted"), [
    ("r.io", "*", True), ("a.r.io", "r.io", True), ("a.r.io", ".r.io", True), ("a.r.io", "*.r.io", True), ("ar.io", "r.io", False),
    ("r.io", "x.io, r.io", True), ("r.io", "r.io:443", True), ("r.io", "r.io:5000", False), ("10.1.2.3", "10.0.0.0/8", True),
    ("11.1.2.3", "10.0.0.0/8", False), ("r.io", "10.0.0.0/8", False), ("r.io", "", False), ("[::2]", "::2", True), ("r.io", "10.0.0.0/99", False)])
def test_exceptions_of_a_proxy(host: str, exceptions: str, excepted: bool) -> None:
    assert is_excepted(host, 443, exceptions) is excepted
