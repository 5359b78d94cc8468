"""Programs that decide who opens which device (bpf(2), BPF_PROG_TYPE_CGROUP_DEVICE): loaded, and put on a control group of version 2.

By ctypes, as in kernel.syscalls; no policy.
"""

import ctypes
import os
from struct import pack

from kernel.errors import failed

_NR_BPF = {"x86_64": 321, "aarch64": 280}.get(os.uname().machine, -1)
_PROG_LOAD, _PROG_ATTACH = 5, 8
_CGROUP_DEVICE_PROGRAM, _CGROUP_DEVICE = 15, 6           # kind of the program; where on a group it goes
_ALLOW_MULTI = 2                                         # beside those that are there, which have to agree too
_INSTRUCTION = 8
_SIZE = 128                                              # of the argument, with the fields that are not used

_syscall = ctypes.CDLL(None, use_errno=True).syscall
_syscall.restype = ctypes.c_long


def load_device_program(code: bytes) -> int:
    """fd of a program, 8 bytes an instruction. Raises SyscallFailed; for root alone."""
    program, licence = ctypes.create_string_buffer(code, len(code)), ctypes.create_string_buffer(b"GPL")
    return _bpf(_PROG_LOAD, pack("=IIQQ", _CGROUP_DEVICE_PROGRAM, len(code) // _INSTRUCTION, ctypes.addressof(program), ctypes.addressof(licence)))


def attach_device_program(cgroup_fd: int, program_fd: int) -> None:
    """It stays as long as the group does. Raises SyscallFailed."""
    _bpf(_PROG_ATTACH, pack("=IIII", cgroup_fd, program_fd, _CGROUP_DEVICE, _ALLOW_MULTI))


def _bpf(command: int, argument: bytes) -> int:
    buffer = ctypes.create_string_buffer(argument.ljust(_SIZE, b"\0"), _SIZE)
    result = _syscall(ctypes.c_long(_NR_BPF), ctypes.c_int(command), buffer, ctypes.c_uint(_SIZE))
    if result < 0:
        raise failed(ctypes.get_errno(), "bpf")
    return int(result)
