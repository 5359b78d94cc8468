"""Random changes to a file tree, as a build step makes them: for laws about layers. What cannot be done (a file in the way) is left undone.

They happen in a fork that is chrooted to the tree: some of the links made here lead to /etc/passwd, and are then written through.
"""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

from hypothesis import strategies as st

NAMES = ["a", "b", "c", "dir", "ünï", "with space", "-dash", "z" * 120]
names = st.sampled_from(NAMES)
paths = st.lists(names, min_size=1, max_size=3).map("/".join)
content = st.sampled_from([b"", b"x", b"hello\n" * 100, b"\0" * 5000])

Change = tuple[str, tuple[object, ...]]
changes: "st.SearchStrategy[Change]" = st.one_of(
    st.tuples(st.just("write"), st.tuples(paths, content)),
    st.tuples(st.just("append"), st.tuples(paths)),
    st.tuples(st.just("mkdir"), st.tuples(paths)),
    st.tuples(st.just("remove"), st.tuples(paths)),
    st.tuples(st.just("remake"), st.tuples(paths)),
    st.tuples(st.just("symlink"), st.tuples(paths, st.sampled_from(["a", "../b", "/dir", "/etc/passwd", "../../../..", "missing"]))),
    st.tuples(st.just("link"), st.tuples(paths, paths)),
    st.tuples(st.just("chmod"), st.tuples(paths, st.sampled_from([0o600, 0o755, 0o4755, 0o2777, 0o1777, 0o0]))),
    st.tuples(st.just("chown"), st.tuples(paths, st.sampled_from([0, 1, 1000, 65534]), st.sampled_from([0, 5, 1000]))),
    st.tuples(st.just("fifo"), st.tuples(paths)),
    st.tuples(st.just("xattr"), st.tuples(paths, st.sampled_from([b"", b"value", b"\0\xff=\n"]))),
    st.tuples(st.just("capability"), st.tuples(paths)),
    st.tuples(st.just("move"), st.tuples(paths, paths)),
    st.tuples(st.just("hole"), st.tuples(paths)))
layers = st.lists(st.lists(changes, min_size=1, max_size=12), min_size=1, max_size=3)


def change(top: str, steps: "list[Change]") -> None:
    """Do the steps inside `top`, as root of a chroot there."""
    pid = os.fork()
    if not pid:
        status = 1
        try:
            os.chroot(top)
            os.chdir("/")
            for name, arguments in steps:
                try:
                    _DOERS[name](Path("/"), *arguments)
                except OSError:
                    continue
            status = 0
        finally:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


def _write(top: Path, path: str, data: bytes) -> None:
    (top / path).parent.mkdir(parents=True, exist_ok=True)
    _put(top / path, os.O_CREAT | os.O_TRUNC, data)


def _append(top: Path, path: str) -> None:
    _put(top / path, os.O_APPEND, b"more")


def _put(path: Path, flags: int, data: bytes) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_NONBLOCK | flags, 0o644)      # of a fifo that nobody reads it is an error, and does not wait
    try:
        os.write(fd, data)
    finally:
        os.close(fd)


def _mkdir(top: Path, path: str) -> None:
    (top / path).mkdir(parents=True)


def _remove(top: Path, path: str) -> None:
    if (top / path).is_dir() and not (top / path).is_symlink():
        shutil.rmtree(top / path)
    else:
        (top / path).unlink()


def _remake(top: Path, path: str) -> None:
    """The same directory, empty."""
    _remove(top, path)
    (top / path).mkdir()


def _symlink(top: Path, path: str, target: str) -> None:
    (top / path).symlink_to(target)


def _link(top: Path, path: str, other: str) -> None:
    os.link(top / path, top / other, follow_symlinks=False)


def _chmod(top: Path, path: str, mode: int) -> None:
    if not (top / path).is_symlink():
        (top / path).chmod(mode)


def _chown(top: Path, path: str, uid: int, gid: int) -> None:
    os.chown(top / path, uid, gid, follow_symlinks=False)


def _fifo(top: Path, path: str) -> None:
    os.mkfifo(top / path)


def _xattr(top: Path, path: str, value: bytes) -> None:
    os.setxattr(top / path, "user.test", value, follow_symlinks=False)


def _capability(top: Path, path: str) -> None:
    if (top / path).is_file() and not (top / path).is_symlink():
        os.setxattr(top / path, "security.capability", bytes.fromhex("0100000200200000000000000000000000000000"))


def _move(top: Path, path: str, other: str) -> None:
    os.rename(top / path, top / other)


def _hole(top: Path, path: str) -> None:
    with (top / path).open("xb") as file:
        file.seek(100_000)
        file.write(b"end")


_DOERS: dict[str, Callable[..., None]] = {
    "write": _write, "append": _append, "mkdir": _mkdir, "remove": _remove, "remake": _remake, "symlink": _symlink, "link": _link, "chmod": _chmod,
    "chown": _chown, "fifo": _fifo, "xattr": _xattr, "capability": _capability, "move": _move, "hole": _hole}
