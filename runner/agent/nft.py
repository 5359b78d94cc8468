"""nftables, told in its own language: by libnftables in this process (0.1 ms a change), or by the program `nft` where the library is missing.

In: text made of numbers and checked names only. A library context speaks to the network namespace that it was made in.
"""

import ctypes
import os

from runner.agent.errors import NetworkFailed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Protocol

    class Rules(Protocol):
        """Whoever carries out nft commands, all or none of them, in one namespace."""

        def run(self, commands: str) -> str: ...
        def close(self) -> None: ...

_LIBRARIES = ("libnftables.so.1",)
_PROGRAMS = ("/usr/sbin/nft", "/sbin/nft", "/usr/bin/nft", "/usr/local/sbin/nft")
_WITH_HANDLES = 1 << 3                                    # NFT_CTX_OUTPUT_HANDLE
_HELP = "install the package `nftables`"


class RulesFailed(NetworkFailed):
    """nftables refused; `commands` is what it was told."""

    def __init__(self, reason: str, commands: str) -> None:
        super().__init__("change the firewall", reason, "`pybuild doctor` shows what this machine allows")
        self.commands = commands


class Library:
    """libnftables."""

    __slots__ = ("_context", "_functions")

    def __init__(self, functions: "ctypes.CDLL") -> None:
        self._functions = functions
        self._context = functions.nft_ctx_new(0)
        functions.nft_ctx_buffer_error(self._context)
        functions.nft_ctx_buffer_output(self._context)
        functions.nft_ctx_output_set_flags(self._context, _WITH_HANDLES)

    def run(self, commands: str) -> str:
        """What it prints, with handles. Raises RulesFailed; nothing was changed then."""
        if self._functions.nft_run_cmd_from_buffer(self._context, commands.encode()):
            said = (self._functions.nft_ctx_get_error_buffer(self._context) or b"").decode(errors="replace")
            raise RulesFailed(_first_line(said), commands)
        return (self._functions.nft_ctx_get_output_buffer(self._context) or b"").decode(errors="replace")

    def close(self) -> None:
        self._functions.nft_ctx_free(self._context)
        self._context = None


class Program:
    """The program, run in the namespace that we are in when `run` is called."""

    __slots__ = ("_path",)

    def __init__(self, path: str) -> None:
        self._path = path

    def run(self, commands: str) -> str:
        import subprocess

        done = subprocess.run([self._path, "-a", "-f", "-"], input=commands.encode(), capture_output=True, check=False)
        if done.returncode:
            raise RulesFailed(_first_line(done.stderr.decode(errors="replace")), commands)
        return done.stdout.decode(errors="replace")

    def close(self) -> None:
        pass


class Nft:
    """Finds out once what there is; `rules()` is for the namespace that we are in at that moment."""

    __slots__ = ("_functions", "_path")

    def __init__(self, libraries: tuple[str, ...] = _LIBRARIES, programs: tuple[str, ...] = _PROGRAMS) -> None:
        self._functions = _load(libraries)
        self._path = "" if self._functions else next((path for path in programs if os.access(path, os.X_OK)), "")

    @property
    def kind(self) -> str:
        """For reports: what is used, "" for nothing."""
        return "libnftables" if self._functions else self._path

    def rules(self) -> "Rules":
        """Raises NetworkError where there is neither library nor program."""
        if self._functions:
            return Library(self._functions)
        if self._path:
            return Program(self._path)
        raise NetworkFailed("set up the firewall", "neither libnftables nor the program `nft` is installed", _HELP)


def _load(names: tuple[str, ...]) -> "ctypes.CDLL | None":
    for name in names:
        try:
            functions = ctypes.CDLL(name)
        except OSError:
            continue
        functions.nft_ctx_new.restype = ctypes.c_void_p
        functions.nft_ctx_new.argtypes = (ctypes.c_uint32,)
        functions.nft_run_cmd_from_buffer.argtypes = (ctypes.c_void_p, ctypes.c_char_p)
        for function in (functions.nft_ctx_buffer_error, functions.nft_ctx_buffer_output, functions.nft_ctx_free):
            function.argtypes = (ctypes.c_void_p,)
        for function in (functions.nft_ctx_get_error_buffer, functions.nft_ctx_get_output_buffer):
            function.argtypes = (ctypes.c_void_p,)
            function.restype = ctypes.c_char_p
        functions.nft_ctx_output_set_flags.argtypes = (ctypes.c_void_p, ctypes.c_uint)
        return functions
    return None


def _first_line(said: str) -> str:
    line = next((line.strip() for line in said.splitlines() if line.strip()), "it said nothing").removeprefix("Error: ")
    return line[:1].lower() + line[1:]
