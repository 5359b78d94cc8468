"""Python source -> .pyc bytes that depend on the source alone: a file of the standard library enters, its byte code leaves.

Whether this machine has a compiled file already decides only how fast it goes: what that holds is used if it is what compiling would give,
and written anew, since the bytes in it depend on what else was loaded when it was made.
"""

import os
from importlib.util import MAGIC_NUMBER, cache_from_source
from marshal import dumps, loads
from types import CodeType

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

# marshal's format 2 is the last without references between equal objects: those depend on reference counts, so on the process that writes
_FORMAT = 2
_HEADER = 16                     # bytes: magic number, flags, and for flags 0: mtime, size of the source
_MTIME = 0                       # of every file of the image


def compiled(fd: int, source: str, module: str) -> bytes:
    """The .pyc of the file `source`, open as `fd`, for an image where it is `module`, with the mtime 0; b"" if it cannot be compiled.

    Law: compiled(fd, source, module) == compiled_text(bytes of fd, module).
    """
    with open(fd, "rb", closefd=False) as file:
        text = file.read()
    code = _found(source, os.fstat(fd))
    return compiled_text(text, module) if code is None else _pyc(text, _renamed(code, module))


def compiled_text(text: bytes, module: str) -> bytes:
    """The .pyc of a source that is at hand. Law: equal text, module and Python give equal bytes."""
    try:
        code = compile(text, module, "exec", dont_inherit=True, optimize=0)
    except (SyntaxError, ValueError):            # templates, and tests of the compiler
        return b""
    return _pyc(text, code)


def _pyc(text: bytes, code: CodeType) -> bytes:
    header = MAGIC_NUMBER + bytes(4) + _MTIME.to_bytes(4, "little") + (len(text) & 0xFFFFFFFF).to_bytes(4, "little")
    try:
        return header + dumps(code, _FORMAT)
    except ValueError:                           # a constant that the format has no form for: Python 3.14's slices
        return b""


def _found(source: str, status: os.stat_result) -> CodeType | None:
    """The code that the machine's own .pyc of `source` holds, where the import system would believe it."""
    try:
        with open(cache_from_source(source, optimization=""), "rb") as file:
            data = file.read()
    except (OSError, NotImplementedError):
        return None
    stamp = bytes(4) + (int(status.st_mtime) & 0xFFFFFFFF).to_bytes(4, "little") + (status.st_size & 0xFFFFFFFF).to_bytes(4, "little")
    if data[:_HEADER] != MAGIC_NUMBER + stamp:
        return None
    try:
        code = loads(data[_HEADER:])
    except (ValueError, EOFError, TypeError):
        return None
    return code if isinstance(code, CodeType) else None


def _renamed(code: CodeType, module: str) -> CodeType:
    constants: tuple[Any, ...] = tuple(_renamed(item, module) if isinstance(item, CodeType) else item for item in code.co_consts)
    return code.replace(co_consts=constants, co_filename=module)
