"""What a program needs to run: its path enters; the files, links and libraries that must be in an image with it leave.

An ELF program needs its interpreter and libraries, a script the program behind its `#!`; either needs the links on the way to its files.
"""

import os

from builder.base.errors import NotUsable, ProgramMissing
from builder.base.host import Hop, Host
from builder.base.loader import Library, Loader
from kernel.value import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import TypeVar

    from builder.base.elf import Elf

    T = TypeVar("T")

_SCRIPTS_LIMIT = 4               # scripts whose interpreter is a script, as in the kernel


class Closure(Value):
    """`files` are real paths, the program's first; `libraries` are those of them that are libraries, with the path that the loader opens."""

    files: tuple[str, ...]
    hops: tuple[Hop, ...]
    libraries: tuple[Library, ...] = ()
    interpreters: tuple[str, ...] = ()           # of scripts: paths as written, or found by `env`


def closure_of(host: Host, loader: Loader, path: str, directories: tuple[str, ...], depth: int = 0) -> Closure:
    """Everything that running, or loading, the file at `path` takes. directories: where `#!/usr/bin/env NAME` is looked for.

    Raises NotUsable, LibraryMissing, ProgramMissing, ElfFault, NotReadable.
    """
    place = host.place(path)
    if not host.is_file(path):
        raise ProgramMissing(path)
    elf = host.elf(place.real)
    if elf is not None:
        return _of_elf(host, loader, place.real, place.hops, elf)
    line = host.start(place.real, 256)
    if not line.startswith(b"#!"):
        return Closure((place.real,), place.hops)
    if depth == _SCRIPTS_LIMIT:
        raise NotUsable(path, "is a script whose interpreters are scripts without an end")
    files, hops = [place.real], list(place.hops)
    libraries: list[Library] = []
    interpreters: list[str] = []
    for program in _interpreters(host, path, line, directories):
        below = closure_of(host, loader, program, directories, depth + 1)
        files += below.files
        hops += below.hops
        libraries += below.libraries
        interpreters += [program, *below.interpreters]
    return Closure(_once(files), _once(hops), _once(libraries), _once(interpreters))


def _of_elf(host: Host, loader: Loader, real: str, hops: tuple[Hop, ...], elf: "Elf") -> Closure:
    libraries = loader.libraries(real, elf)
    places = [host.place(library.path) for library in libraries]
    return Closure(_once([real, *(place.real for place in places)]), _once([*hops, *(hop for place in places for hop in place.hops)]), libraries)


def _interpreters(host: Host, path: str, line: bytes, directories: tuple[str, ...]) -> list[str]:
    """Paths of the programs in a `#!` line: the interpreter, and what it runs if it is `env`."""
    words = os.fsdecode(line[2:].split(b"\n", 1)[0]).split()
    if not words or not words[0].startswith("/"):
        raise NotUsable(path, "is a script without an interpreter")
    found = [words[0]]
    if os.path.basename(words[0]) == "env":
        named = [word for word in words[1:] if not word.startswith("-") and "=" not in word][:1]
        found += [find_program(host, name, directories) for name in named]
    return found


def find_program(host: Host, name: str, directories: tuple[str, ...]) -> str:
    """Path of the executable `name`, as a shell with this PATH finds it; a name with a slash is a path already. Raises ProgramMissing."""
    if "/" in name:
        path = name if name.startswith("/") else os.path.join(os.getcwd(), name)
        if host.is_executable(path):
            return path
        raise ProgramMissing(name)
    for directory in directories:
        if name and host.is_executable(f"{directory}/{name}"):
            return f"{directory}/{name}"
    raise ProgramMissing(name, directories)


def _once(items: "Iterable[T]") -> "tuple[T, ...]":
    return tuple(dict.fromkeys(items))
