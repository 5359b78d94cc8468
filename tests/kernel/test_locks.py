import os
import signal
from pathlib import Path

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
