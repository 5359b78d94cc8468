"""What the dynamic loader reads of an ELF file: a file descriptor enters, a frozen Elf leaves.

32 and 64 bit, both byte orders. Nothing in the file is believed: every offset is held against the file's size, every count and string
has a bound, so a hostile file costs a few reads and yields ElfFault.
Source: System V ABI (gABI), chapters "ELF Header", "Program Header", "Dynamic Section"; ld.so(8).
"""

import os
import struct

from builder.base.errors import ElfFault
from kernel.value import Value

_EI_CLASS, _EI_DATA, _EI_VERSION = 4, 5, 6
_PT_LOAD, _PT_DYNAMIC, _PT_INTERP = 1, 2, 3
_DT_NULL, _DT_NEEDED, _DT_STRTAB, _DT_STRSZ, _DT_SONAME, _DT_RPATH = 0, 1, 5, 10, 14, 15
_DT_RUNPATH = 29
_DT_FLAGS_1 = 0x6FFFFFFB
_DF_1_NODEFLIB = 0x800

# bits -> (rest of the ELF header after e_ident, program header, dynamic entry)
_LAYOUT = {32: ("HHIIIIIHHH", "IIIIIIII", "II"), 64: ("HHIQQQIHHH", "IIQQQQQQ", "QQ")}

_HEADERS_LIMIT = 1 << 16         # bytes of program headers: the kernel takes no more
_DYNAMIC_LIMIT = 1 << 20         # bytes of dynamic section
_STRING_LIMIT = 1 << 16          # bytes of a name; search paths may be longer than PATH_MAX
_NEEDED_LIMIT = 4096             # libraries of one object


class Kind(Value):
    """What two objects must share to be loaded into one process."""

    bits: int                    # 32 or 64
    little: bool                 # byte order
    machine: int                 # e_machine: 62 x86-64, 183 AArch64, 3 i386


class Elf(Value):
    """`rpath` and `runpath` are the raw lists, with $ORIGIN and $LIB in them; None where the object has none (which is not the empty list)."""

    kind: Kind
    interpreter: str             # "" for libraries and static programs
    needed: tuple[str, ...]
    soname: str
    rpath: tuple[str, ...] | None
    runpath: tuple[str, ...] | None
    no_default: bool             # linked with -z nodefaultlib: cache and default directories are not searched


class _Segment(Value):
    type: int
    offset: int
    address: int
    size: int                    # bytes in the file


def read_elf(fd: int, path: str = "") -> Elf | None:
    """The facts in the ELF file open as `fd`; None if it is no ELF file at all. path: for the error only.

    Raises ElfFault; OSError from reading.
    """
    return _Reader(fd, path).read()


class _Reader:
    __slots__ = ("_fd", "_head", "_order", "_path", "_size")

    def __init__(self, fd: int, path: str) -> None:
        self._fd = fd
        self._path = path
        self._size = os.fstat(fd).st_size
        self._head = os.pread(fd, 4096, 0)       # holds all but the strings of a usual file
        self._order = "<"

    def read(self) -> Elf | None:
        head = self._head
        if head[:4] != b"\x7fELF":
            return None
        if len(head) < 16 or head[_EI_CLASS] not in (1, 2) or head[_EI_DATA] not in (1, 2) or head[_EI_VERSION] != 1:
            raise self._fault("unknown class, byte order or version")
        bits = 32 * head[_EI_CLASS]
        self._order = "<" if head[_EI_DATA] == 1 else ">"
        header, segment, entry = (self._order + layout for layout in _LAYOUT[bits])
        _, machine, _, _, phoff, _, _, _, phentsize, phnum = struct.unpack(header, self._bytes(16, struct.calcsize(header), "its header"))
        segments = self._segments(segment, bits, phoff, phentsize, phnum)
        interpreter = b""
        needed: list[str] = []
        names: dict[int, str] = {}
        flags = 0
        for part in segments:
            if part.type == _PT_INTERP and not interpreter:
                interpreter = self._interpreter(part)
            elif part.type == _PT_DYNAMIC and not names and not needed:
                needed, names, flags = self._dynamic(part, entry, segments)
        return Elf(Kind(bits, self._order == "<", machine), os.fsdecode(interpreter), tuple(needed), names.get(_DT_SONAME, ""),
                   _split(names.get(_DT_RPATH)), _split(names.get(_DT_RUNPATH)), bool(flags & _DF_1_NODEFLIB))

    def _segments(self, layout: str, bits: int, offset: int, entry_size: int, count: int) -> list[_Segment]:
        size = struct.calcsize(layout)
        if not count:
            return []
        if entry_size != size or count * size > _HEADERS_LIMIT:
            raise self._fault(f"{count} program headers of {entry_size} bytes")
        rows = struct.iter_unpack(layout, self._bytes(offset, count * size, "its program headers"))
        if bits == 64:
            return [_Segment(kind, at, address, length) for kind, _, at, address, _, length, _, _ in rows]
        return [_Segment(kind, at, address, length) for kind, at, address, _, length, _, _, _ in rows]

    def _interpreter(self, part: _Segment) -> bytes:
        if not 2 <= part.size <= 4096:
            raise self._fault(f"an interpreter name of {part.size} bytes")
        name, end, _ = self._bytes(part.offset, part.size, "its interpreter").partition(b"\0")
        if not end or not name:
            raise self._fault("an interpreter name without an end")
        return name

    def _dynamic(self, part: _Segment, layout: str, segments: list[_Segment]) -> tuple[list[str], dict[int, str], int]:
        if part.size > _DYNAMIC_LIMIT:
            raise self._fault(f"a dynamic section of {part.size} bytes")
        size = struct.calcsize(layout)
        data = self._bytes(part.offset, part.size - part.size % size, "its dynamic section")
        needed: list[int] = []
        values: dict[int, int] = {}
        for tag, value in struct.iter_unpack(layout, data):
            if tag == _DT_NULL:
                break
            if tag == _DT_NEEDED:
                needed.append(value)
            else:
                values[tag] = value              # the last one counts, as for ld.so
        wanted = [tag for tag in (_DT_SONAME, _DT_RPATH, _DT_RUNPATH) if tag in values]
        if len(needed) > _NEEDED_LIMIT:
            raise self._fault(f"{len(needed)} needed libraries")
        if not needed and not wanted:
            return [], {}, values.get(_DT_FLAGS_1, 0)
        table = self._offset(values.get(_DT_STRTAB, 0), segments)
        length = values.get(_DT_STRSZ, 0)
        return ([self._string(table, length, value) for value in needed], {tag: self._string(table, length, values[tag]) for tag in wanted},
                values.get(_DT_FLAGS_1, 0))

    def _offset(self, address: int, segments: list[_Segment]) -> int:
        for part in segments:
            if part.type == _PT_LOAD and part.address <= address < part.address + part.size:
                return part.offset + address - part.address
        raise self._fault("a string table that is in no segment")

    def _string(self, table: int, length: int, at: int) -> str:
        if at >= length:
            raise self._fault("a name outside of its string table")
        limit = min(length - at, _STRING_LIMIT, max(self._size - table - at, 0))
        for window in (256, limit):              # nearly every name is short
            name, end, _ = self._bytes(table + at, min(window, limit), "its string table").partition(b"\0")
            if end:
                return os.fsdecode(name)
        raise self._fault("a name without an end")

    def _bytes(self, offset: int, length: int, what: str) -> bytes:
        if offset + length > self._size:
            raise self._fault(f"{what} lies behind the end of the file")
        if offset + length <= len(self._head):
            return self._head[offset:offset + length]
        data = os.pread(self._fd, length, offset)
        if len(data) != length:
            raise self._fault(f"{what} lies behind the end of the file")
        return data

    def _fault(self, fault: str) -> ElfFault:
        return ElfFault(self._path, fault)


def _split(paths: str | None) -> tuple[str, ...] | None:
    # an empty item means the current directory to ld.so: never a place we take files from
    return None if paths is None else tuple(path for path in paths.split(":") if path)
