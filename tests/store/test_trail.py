"""Reading behind a writer: all of it, in order, whoever is faster; and what went wrong."""

import threading
from pathlib import Path

import pytest

from store.trail import Trail


def test_readers_get_everything_in_order(tmp_path: Path) -> None:
    trail, out = Trail(), [b"", b""]
    parts = [bytes([n]) * (n * 1000 + 1) for n in range(60)]

    def read(number: int) -> None:
        out[number] = b"".join(trail.chunks())

    readers = [threading.Thread(target=read, args=(n,)) for n in range(2)]
    for reader in readers:
        reader.start()
    with open(tmp_path / "f", "w+b", buffering=0) as file:
        trail.begin(file.fileno())
        written = 0
        for part in parts:
            written += file.write(part)
            trail.advance(written)
    trail.end()
    for reader in readers:
        reader.join()
    assert out == [b"".join(parts)] * 2 and trail.wait() == written
    assert b"".join(trail.chunks(5)) == b"".join(parts)[5:]
    trail.close()


def test_error_comes_out_at_every_reader() -> None:
    trail = Trail()
    trail.end(ZeroDivisionError())
    trail.end()
    with pytest.raises(ZeroDivisionError):
        list(trail.chunks())
    with pytest.raises(ZeroDivisionError):
        trail.wait()


def test_nothing_is_written() -> None:
    trail = Trail()
    trail.end()
    assert list(trail.chunks()) == [] and trail.wait() == 0
