"""Which proxy the environment names."""

import pytest

from builder.remote.address import parse_address
from builder.remote.proxy import is_excepted, proxy_for


def test_proxy_by_scheme_small_letters_first() -> None:
    environment = {"http_proxy": "http://small:1", "HTTP_PROXY": "http://big:1", "HTTPS_PROXY": "tls:2", "ALL_PROXY": "http://all:3"}
    assert proxy_for(parse_address("http://h/"), environment) == "http://small:1"
    assert proxy_for(parse_address("https://h/"), environment) == "http://tls:2"
    assert proxy_for(parse_address("https://h/"), {"ALL_PROXY": "http://all:3"}) == "http://all:3"
    assert proxy_for(parse_address("http://h/"), {}) == ""


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "127.9.9.9", "[::1]"])
def test_proxy_is_not_asked_for_this_machine(host: str) -> None:
    assert proxy_for(parse_address(f"http://{host}/"), {"http_proxy": "http://p:1"}) == ""


@pytest.mark.parametrize(("no_proxy", "excepted"), [
    ("*", True), ("example.org", True), (".example.org", True), ("*.example.org", True), ("xample.org", False), ("other, example.org ", True),
    ("example.org:443", True), ("example.org:80", False), ("", False), ("a.example.org.evil", False)])
def test_no_proxy_names_domains(no_proxy: str, excepted: bool) -> None:
    assert is_excepted("a.example.org", 443, no_proxy) is excepted


def test_no_proxy_names_networks() -> None:
    assert is_excepted("10.1.2.3", 80, "10.0.0.0/8")
    assert is_excepted("fd00::1", 80, "fd00::/8")
    assert not is_excepted("11.1.2.3", 80, "10.0.0.0/8")
    assert not is_excepted("11.1.2.3", 80, "10.0.0.0/99,nonsense/8")
