"""A plain stream sends what is in a file, whatever part of it and whoever the peer is."""

import os
import random
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.http.stream import Stream, is_local

SIZE = (20 << 20) + 777                                # more than is mapped at once, and no whole number of pages


@pytest.fixture(scope="module")
def content() -> bytes:
    return random.Random(7).randbytes(SIZE)


@pytest.fixture
def file(tmp_path: Path, content: bytes) -> Iterator[int]:
    (tmp_path / "file").write_bytes(content)
    fd = os.open(tmp_path / "file", os.O_RDONLY)
    yield fd
    os.close(fd)


@pytest.fixture
def ends() -> Iterator[tuple[Stream, socket.socket]]:
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()) as client:
        accepted, _ = server.accept()
        with accepted:
            yield Stream(accepted), client


@pytest.mark.parametrize(("offset", "count"), [(0, SIZE), (4097, SIZE - 5000), (8 << 20, 8 << 20), (1, 8 << 20), (SIZE - 10, 10), (5, 0)])
def test_send_file_any_part_arrives_as_it_is(ends: tuple[Stream, socket.socket], file: int, content: bytes, offset: int, count: int) -> None:
    stream, client = ends
    received = bytearray()

    def receive() -> None:
        while data := client.recv(1 << 20):
            received.extend(data)

    reader = threading.Thread(target=receive)
    reader.start()
    stream.send_file(file, offset, count)
    stream.half_close()
    reader.join()
    assert received == content[offset:offset + count]


@pytest.mark.parametrize("missing", [1, 9 << 20])
def test_send_file_of_a_file_that_is_too_short_is_a_broken_connection(ends: tuple[Stream, socket.socket], file: int, missing: int) -> None:
    stream, client = ends
    reader = threading.Thread(target=lambda: [None for _ in iter(lambda: client.recv(1 << 20), b"")])
    reader.start()
    with pytest.raises(ConnectionError, match="shorter"):
        stream.send_file(file, 0, SIZE + missing)
    stream.half_close()
    reader.join()


def test_is_local_a_peer_on_the_same_address(ends: tuple[Stream, socket.socket]) -> None:
    assert is_local(ends[0].socket)
