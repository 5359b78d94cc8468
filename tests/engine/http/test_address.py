"""Addresses to listen on: text, sockets, what is in the way."""

import os
import socket
import stat
from pathlib import Path

import pytest

from engine.errors import CannotListen, InvalidAddress
from engine.http.address import Address, listen, parse_address, where


@pytest.mark.parametrize(("text", "address"), [
    ("127.0.0.1:5000", Address("127.0.0.1", 5000)), (":5000", Address("", 5000)), ("[::1]:80", Address("::1", 80)), ("tcp://h:1", Address("h", 1)),
    ("unix:///run/x.sock", Address(path="/run/x.sock")), ("/run/x.sock", Address(path="/run/x.sock"))])
def test_address_is_read(text: str, address: Address) -> None:
    assert parse_address(text) == address


@pytest.mark.parametrize("text", ["", "5000", "localhost", "::1", "::1:80", "a:b", "a:99999", "a:-1", "unix://x", "ssh://a:1", "a:٣"])
def test_text_that_is_no_address(text: str) -> None:
    with pytest.raises(InvalidAddress, match=r"^`.*` is no address to listen on: "):
        parse_address(text)


def test_address_that_only_this_machine_reaches() -> None:
    assert all(parse_address(text).is_local for text in ("127.1.2.3:1", "localhost:1", "[::1]:1", "/x"))
    assert not any(parse_address(text).is_local for text in (":1", "0.0.0.0:1", "192.0.2.1:1"))


def test_any_free_port() -> None:
    with listen(Address("127.0.0.1", 0)) as listening:
        assert where(listening, Address("127.0.0.1", 0)).port == listening.getsockname()[1] > 0


def test_port_in_use() -> None:
    with listen(Address("127.0.0.1", 0)) as listening:
        with pytest.raises(CannotListen, match="address already in use") as caught:
            listen(Address("127.0.0.1", listening.getsockname()[1]))
        assert "another port" in caught.value.help


def test_everywhere_is_both_families() -> None:
    with listen(Address("", 0)) as listening:
        with socket.create_connection(("127.0.0.1", listening.getsockname()[1])):
            pass


def test_unix_socket_is_private_and_its_path_may_be_long(tmp_path: Path) -> None:
    directory = tmp_path / ("d" * 120)
    directory.mkdir()
    path = str(directory / "s.sock")
    with listen(Address(path=path)):
        assert stat.S_IMODE(os.stat(path).st_mode) == 0o600


def test_stale_unix_socket_is_replaced_a_live_one_and_a_file_are_not(tmp_path: Path) -> None:
    path = str(tmp_path / "s.sock")
    listen(Address(path=path)).close()
    with listen(Address(path=path)), pytest.raises(CannotListen):
        listen(Address(path=path))
    (tmp_path / "file").write_text("mine")
    with pytest.raises(CannotListen):
        listen(Address(path=str(tmp_path / "file")))
    assert (tmp_path / "file").read_text() == "mine"
    with pytest.raises(CannotListen, match="no such file or directory"):
        listen(Address(path=str(tmp_path / "missing/s.sock")))
