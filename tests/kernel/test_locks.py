import os
import signal
from pathlib import Path

from kernel import locks
from kernel.locks import Lock, is_held


def test_lock_second_taker_is_refused(tmp_path: Path) -> None:
    path = str(tmp_path / "l")
    with Lock(path):
        assert is_held(path)
        assert not Lock(path).take(wait=False)
    assert not is_held(path)
    assert Lock(path).take(wait=False)


def test_lock_shared_holders_exclude_a_writer(tmp_path: Path) -> None:
    path = str(tmp_path / "l")
    with Lock(path, shared=True), Lock(path, shared=True):
        assert not Lock(path).take(wait=False)


def test_lock_removed_by_holder_is_taken_anew(tmp_path: Path) -> None:
    path = str(tmp_path / "l")
    first = Lock(path)
    first.take()
    first.release(remove=True)
    assert not os.path.exists(path)
    assert Lock(path).take(wait=False)


def test_lock_vanishes_with_a_killed_holder(tmp_path: Path) -> None:
    path = str(tmp_path / "l")
    r, w = os.pipe()
    pid = os.fork()
    if not pid:
        Lock(path).take()
        os.write(w, b"x")
        signal.pause()
    os.read(r, 1)
    assert is_held(path)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    assert not is_held(path)


def test_long_wait_is_told_of_once_with_its_holder(tmp_path: Path) -> None:
    path = str(tmp_path / "l")
    told: list[tuple[str, int]] = []
    r, w = os.pipe()
    go, went = os.pipe()
    pid = os.fork()
    if not pid:
        Lock(path).take()
        os.write(w, b"x")
        os.read(go, 1)
        os._exit(0)
    os.read(r, 1)

    def tell(path: str, process: int) -> None:
        told.append((path, process))
        os.write(went, b"x")                             # only now the holder lets go

    locks.tell_of_waits(tell, 0.01)
    try:
        with Lock(path):
            pass
    finally:
        locks.tell_of_waits(None)
    os.waitpid(pid, 0)
    assert told == [(path, pid)]


def test_short_wait_is_not_told_of(tmp_path: Path) -> None:
    told: list[int] = []
    locks.tell_of_waits(lambda path, process: told.append(process))
    try:
        with Lock(str(tmp_path / "l")):
            pass
    finally:
        locks.tell_of_waits(None)
    assert told == []


def test_lock_that_nobody_holds_has_no_holder(tmp_path: Path) -> None:
    path = tmp_path / "l"
    assert locks.holder_of(str(path)) == 0
    path.write_bytes(b"")
    assert locks.holder_of(str(path)) == 0
