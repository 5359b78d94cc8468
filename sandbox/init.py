"""A program of a few hundred bytes that stands where no Python may: as first process of a pid namespace, and on the way into somebody else's.

`init PID`: pid 1 of a sandbox with an init. Hands every signal on to process PID, reaps whatever ends, and ends as PID does (128 + signal).
`init FLAG PATH ARG...`: in a process that has joined a sandbox but for its pid namespace. Starts a child in that namespace, as a child of its
own parent, which is told the pid (4 bytes on fd 3), and ends; the child gets its own session (FLAG `t`: and stdin as its terminal), dies with
its parent, and executes PATH with the arguments. An error is told as 8 bytes on fd 3. Until its pid is told the child
waits; if the one that was to tell it is killed before, it ends (137).

So a process inside never sees, in /proc or by ptrace, one that runs the host's Python (CVE-2016-9962, CVE-2019-5736). The code below is
init_x86_64.s and init_aarch64.s, assembled.
"""

import fcntl
import os
import struct

_CODE = {
    "x86_64": """
        488b3c24 83ff020f 85940000 00488b74 241031db 0fb60685 c0740c8d 1c9b8d5c
        58d048ff c6ebed6a ff4989e4 6a004989 e5eb2ab8 80000000 4c89e731 f631d241
        ba080000 000f0585 c07ee883 f811740d 89c689df b83e0000 000f05eb d6b83d00
        000048c7 c7ffffff ff4c89ee ba010000 004531d2 0f0585c0 7eb939d8 75df418b
        7d0089f8 83e07f74 088db880 000000eb 09c1ef08 81e7ff00 0000b8e7 0000000f
        05b84800 0000bf03 000000be 02000000 ba010000 000f056a ff4889e7 be000008
        00b82501 00000f05 415e4d89 f749c1ef 20b83800 0000bf00 80000031 f631d245
        31d24531 c00f0585 c0740978 77ba0400 0000eb77 b8030000 004489ff 0f0531c0
        4489f748 8d7424f8 ba010000 000f05bf 89000000 85c07482 b8700000 000f0548
        8b442410 80387475 10b81000 000031ff be0e5400 0031d20f 05b89d00 0000bf01
        000000be 09000000 0f05488b 0424488d 54c41048 8b7c2418 488d7424 20b83b00
        00000f05 f7d8ba08 00000050 b8010000 00bf0300 00004889 e60f05b8 01000000
        4489ffba 01000000 0f0531ff e909ffff ff
    """,
    "aarch64": """
        e00340f9 1f0800f1 e1050054 e10b40f9 13008052 43018052 20144038 80000034
        00c00051 7302031b fcffff17 00008092 e07fbfa9 f4030091 f5230091 10000014
        281180d2 e00314aa 010080d2 020080d2 030180d2 010000d4 1f000071 2dffff54
        1f440071 c0000054 e103002a e003132a 281080d2 010000d4 f2ffff17 882080d2
        00008092 e10315aa 220080d2 030080d2 010000d4 1f000071 4dfdff54 1f00136b
        e1feff54 a10240b9 20180072 60000054 00000211 02000014 203c0853 c80b80d2
        010000d4 280380d2 600080d2 410080d2 220080d2 010000d4 00008092 e00f1ff8
        e0030091 0101a0d2 680780d2 010000d4 f65fc228 881b80d2 000090d2 010080d2
        020080d2 030080d2 040080d2 010000d4 1f0000f1 80000054 8b040054 820080d2
        24000014 280780d2 e003172a 010000d4 e80780d2 e003162a e14300d1 220080d2
        010000d4 e103002a 20118052 81fbff34 a81380d2 010000d4 e10b40f9 21004039
        3fd00171 c1000054 a80380d2 000080d2 c1818ad2 020080d2 010000d4 e81480d2
        200080d2 210180d2 010000d4 e10340f9 e2430091 420c018b e00f40f9 e1830091
        a81b80d2 010000d4 e003004b 020180d2 e00f1ff8 080880d2 600080d2 e1030091
        010000d4 080880d2 e003172a 220080d2 010000d4 00008052 b9ffff17
    """,
}
_MACHINES = {"x86_64": 62, "aarch64": 183}      # elf.h EM_X86_64, EM_AARCH64
_BASE = 0x400000
_HEADERS = 64 + 2 * 56                          # the ELF header, two program headers
_SEALS = 0xF                                    # F_SEAL_SEAL, _SHRINK, _GROW, _WRITE
_F_ADD_SEALS = 1033
_MFD_CLOEXEC, _MFD_ALLOW_SEALING, _MFD_EXEC = 1, 2, 16


def code(machine: str) -> bytes:
    return bytes.fromhex(_CODE[machine])


def image(machine: str) -> bytes:
    """The ELF executable: one segment that is read and executed, a stack that is not."""
    body = code(machine)
    size = _HEADERS + len(body)
    header = struct.pack("<16sHHIQQQIHHHHHH", b"\x7fELF\x02\x01\x01", 2, _MACHINES[machine], 1, _BASE + _HEADERS, 64, 0, 0, 64, 56, 2, 0, 0, 0)
    load = struct.pack("<IIQQQQQQ", 1, 5, 0, _BASE, _BASE, size, size, 0x1000)
    stack = struct.pack("<IIQQQQQQ", 0x6474E551, 6, 0, 0, 0, 0, 0, 16)
    return header + load + stack + body


def open_image() -> int:
    """An fd of the program that nobody can write to any more."""
    return sealed_memory("init", image(os.uname().machine))


def sealed_memory(name: str, content: bytes) -> int:
    """An fd of an executable file in memory that nobody can change any more."""
    try:
        fd = os.memfd_create(name, _MFD_CLOEXEC | _MFD_ALLOW_SEALING | _MFD_EXEC)
    except OSError:
        fd = os.memfd_create(name, _MFD_CLOEXEC | _MFD_ALLOW_SEALING)      # MFD_EXEC is of Linux 6.3
    rest = memoryview(content)
    while rest:
        rest = rest[os.write(fd, rest):]
    fcntl.fcntl(fd, _F_ADD_SEALS, _SEALS)
    return fd
