import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runner.load.port import parse


def short(text: str) -> list[str]:
    return [f"{port.get('host_ip', '')}:{port.get('published', '')}:{port['target']}/{port['protocol']}" for port in parse(text)]


@pytest.mark.parametrize(("text", "ports"), [
    ("80", ["::80/tcp"]), ("80/udp", ["::80/udp"]), ("80/SCTP", ["::80/sctp"]), ("8080:80", [":8080:80/tcp"]), (":80", ["::80/tcp"]),
    ("127.0.0.1:8080:80", ["127.0.0.1:8080:80/tcp"]), ("127.0.0.1::80", ["127.0.0.1::80/tcp"]), ("[::1]:1:2", ["::1:1:2/tcp"]),
    ("::1:1:2", ["::1:1:2/tcp"]),
    ("1-3", ["::1/tcp", "::2/tcp", "::3/tcp"]), ("1-2:3-4", [":1:3/tcp", ":2:4/tcp"]), ("8000-8010:80", [":8000-8010:80/tcp"]),
    ("9-10", ["::10/tcp", "::9/tcp"]),
    ("80/", ["::80/tcp"]),
])
def test_port(text: str, ports: list[str]) -> None:
    assert short(text) == ports


@pytest.mark.parametrize(("text", "reason"), [
    ("", "no container port"), ("80:", "no container port"), ("abc", "`abc` is no container port"), ("0", "0 is no container port"),
    ("65536", "`65536` is no container port"),
    ("-1:80", "`-1` is no host port"), ("80-79", "`80-79` is no container port"), ("1-2:3-5", "differ in length"),
    ("80/foo", "`foo` is no protocol"),
    ("a:1:2", "`a` is no IP address"),
    ("[::1:1:2", "IP address"), ("0x50", "container port"), ("1_0", "container port"), ("٣", "container port"),
    ("1-2-3", "container port"), ("999.1.1.1:1:1", "IP address"),
])
def test_no_port(text: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason.replace("[", r"\[")):
        parse(text)


@settings(derandomize=True, max_examples=300, deadline=None)
@given(st.text(alphabet="0123456789:-/.[]abtcpud\0é", max_size=16))
def test_ports_raise_nothing_but_value_errors(text: str) -> None:
    try:
        assert all(0 < int(port["target"]) < 65536 for port in parse(text))
    except ValueError:
        pass
