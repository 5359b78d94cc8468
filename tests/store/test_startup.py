"""What a fully cached build and the start of a container import of this room: nothing that costs milliseconds."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
HEAVY = {"typing", "re", "enum", "json", "msgspec", "contextlib", "pathlib", "subprocess", "dataclasses", "logging", "argparse", "hashlib", "sqlite3",
         "ctypes", "threading", "tempfile", "shutil", "zlib", "inspect", "ast", "random", "socket", "select"}


def imported(program: str) -> set[str]:
    done = subprocess.run([sys.executable, "-I", "-S", "-c", f"import sys; sys.path.insert(0, {str(ROOT)!r})\n{program}\nprint(*sys.modules)"],
                          capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_cached_path_imports_nothing_heavy(tmp_path: Path) -> None:
    prepare = f"""
import os
sys.path.insert(1, {next(p for p in sys.path if p.endswith("site-packages"))!r})
from store.root import open_root
from store.store import Store
store = Store(open_root({str(tmp_path / "s")!r}, {str(tmp_path / "r")!r}))
image = store.images.add(b'{{"architecture":"amd64","os":"linux","rootfs":{{"type":"layers","diff_ids":[]}}}}', (), ("x",))
store.cache.put_build(image, b"record")
store.close()
"""
    imported(prepare)
    path = f"""
from store.root import open_root
from store.store import Store
from store.reference import parse_reference
store = Store(open_root({str(tmp_path / "s")!r}, {str(tmp_path / "r")!r}))
record = store.images.resolve("x")
assert store.cache.get_build(record.id) == b"record"
assert store.cache.get(record.id) is None
store.images.tag(record.id, "x")
store.images.tag(record.id, str(parse_reference("y")))
store.images.use(record.id)
store.close()
"""
    assert imported(path) & HEAVY == set()
