"""Whether this machine's files are still what they were: paths enter, one digest of their stat rows leaves. On the cached path."""

import os
from _hashlib import openssl_sha256
from marshal import dumps
from stat import S_ISDIR

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable


def fingerprint(paths: "Iterable[str]") -> bytes:
    """Digest of what `lstat` says of every path: 2 us each. A missing path counts as missing, a directory by its list of names only.

    Law: equal unless a file was written, replaced, removed, added or had its mode changed.
    """
    rows: "list[tuple[int, ...] | None]" = []
    lstat = os.lstat
    for path in paths:
        try:
            status = lstat(path)
        except OSError:
            rows.append(None)
            continue
        mode = status.st_mode
        # of a directory the times tell when an entry came or went, its size and link count nothing more
        rows.append((mode, status.st_ino, status.st_mtime_ns, 0 if S_ISDIR(mode) else status.st_size, status.st_ctime_ns))
    return openssl_sha256(dumps(rows, 2)).digest()
