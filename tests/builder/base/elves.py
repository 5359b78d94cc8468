"""ELF files made for tests: what the loader reads, and nothing else."""

import os
import struct
from pathlib import Path

X86_64, AARCH64, I386 = 62, 183, 3
BASE = 0x10000                   # address of the file's first byte


def elf(needed: tuple[str, ...] = (), *, interpreter: str = "", soname: str = "", rpath: str | None = None, runpath: str | None = None,
        machine: int = X86_64, bits: int = 64, little: bool = True, no_default: bool = False) -> bytes:
    """An ELF file with these facts: header, three program headers, strings, dynamic section."""
    order = "<" if little else ">"
    header, segment, entry = ("HHIQQQIHHHHHH", "IIQQQQQQ", "QQ") if bits == 64 else ("HHIIIIIHHHHHH", "IIIIIIII", "II")
    header_size, segment_size = 16 + struct.calcsize(order + header), struct.calcsize(order + segment)
    strings = bytearray(b"\0")
    rows: list[tuple[int, int]] = []
    for tag, text in [*((1, name) for name in needed), *((14, soname),) * bool(soname), *((15, rpath),) * (rpath is not None),
                      *((29, runpath),) * (runpath is not None)]:
        rows.append((tag, len(strings)))
        strings += os.fsencode(str(text)) + b"\0"
    if no_default:
        rows.append((0x6FFFFFFB, 0x800))
    count = 2 + bool(interpreter)
    string_at = header_size + count * segment_size
    interpreter_at = string_at + len(strings)
    dynamic_at = interpreter_at + len(interpreter) + 1
    dynamic = b"".join(struct.pack(order + entry, *row) for row in [*rows, (5, BASE + string_at), (10, len(strings)), (0, 0)])
    size = dynamic_at + len(dynamic)

    def part(kind: int, at: int, length: int) -> bytes:
        if bits == 64:
            return struct.pack(order + segment, kind, 4, at, BASE + at, 0, length, length, 1)
        return struct.pack(order + segment, kind, at, BASE + at, 0, length, length, 4, 1)

    parts = part(1, 0, size) + part(2, dynamic_at, len(dynamic)) + (part(3, interpreter_at, len(interpreter) + 1) if interpreter else b"")
    ident = b"\x7fELF" + bytes([bits // 32, 1 if little else 2, 1]) + bytes(9)
    head = ident + struct.pack(order + header, 3, machine, 1, 0, header_size, 0, 0, header_size, segment_size, count, 0, 0, 0)
    return head + parts + strings + os.fsencode(interpreter) + b"\0" + dynamic


def put(root: Path, path: str, data: bytes | str, mode: int = 0o755) -> None:
    """Write the file `path` below `root`, with its directories."""
    file = root / path.lstrip("/")
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(data.encode() if isinstance(data, str) else data)
    file.chmod(mode)


def link(root: Path, path: str, target: str) -> None:
    place = root / path.lstrip("/")
    place.parent.mkdir(parents=True, exist_ok=True)
    place.symlink_to(target)
