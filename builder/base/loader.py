"""Which files the dynamic loader would map for a program: one ELF file enters, the paths of its libraries leave, in load order.

Two loaders are known, each with its own rules: glibc's (ld.so(8)) and musl's (ldso/dynlink.c). The environment (LD_LIBRARY_PATH,
LD_PRELOAD) and libraries for particular processors (glibc-hwcaps) play no part: an image has neither.
"""

import os

from builder.base.elf import Elf, Kind
from builder.base.errors import ElfFault, LibraryMissing, NotReadable
from builder.base.host import Host
from builder.base.ldcache import flags_of, parse_cache
from kernel.value import Value

_CACHE_LIMIT = 64 << 20          # bytes
_MULTIARCH = {(64, 62): "x86_64-linux-gnu", (64, 183): "aarch64-linux-gnu", (32, 3): "i386-linux-gnu", (32, 40): "arm-linux-gnueabihf"}
_PLATFORM = {(64, 62): "x86_64", (64, 183): "aarch64", (32, 3): "i686", (32, 40): "v7l"}
_MUSL = {(64, 62): "x86_64", (64, 183): "aarch64", (32, 3): "i386", (32, 40): "armhf"}


class Library(Value):
    """A library as the loader opens it: `path` may lead over links to the file `real`."""

    path: str
    real: str
    private: bool = False        # found by the search path of who needs it, not in the places that all programs share


class Loader:
    """Finds libraries on `host`. What it learns is kept: one Loader serves all programs of an image."""

    __slots__ = ("_cache", "_found", "_host", "_musl_directories")

    def __init__(self, host: Host) -> None:
        self._host = host
        self._cache: dict[tuple[str, int], list[str]] | None = None
        self._found: dict[tuple[str, Kind, bool, tuple[str, ...]], Library | None] = {}
        self._musl_directories: dict[Kind, tuple[str, ...]] = {}

    def libraries(self, program: str, elf: Elf) -> tuple[Library, ...]:
        """What is loaded to run `program`, a real path, or to dlopen it: breadth first, its interpreter included.

        Raises LibraryMissing, ElfFault, NotReadable.
        """
        musl = is_musl(elf)
        loaded: dict[str, Library] = {}
        order: dict[Library, None] = {}
        if elf.interpreter:
            place = self._host.place(elf.interpreter)
            interpreter = self._host.elf(place.real) if self._host.is_file(elf.interpreter) else None
            if interpreter is None:
                raise LibraryMissing(elf.interpreter, program)
            library = Library(elf.interpreter, place.real)
            order[library] = None
            loaded[interpreter.soname or os.path.basename(elf.interpreter)] = library
        queue = [(program, elf, _search_paths(program, elf, musl, elf.kind, ()))]
        for path, facts, searched in queue:       # grows while it is walked: that is breadth first
            for name in facts.needed:
                if name in loaded:
                    continue
                found = self._find(name, facts, musl, _own_paths(path, facts, musl, searched))
                if found is None:
                    raise LibraryMissing(name, path)
                loaded[name] = found
                if found in order:
                    continue
                order[found] = None
                below = self._host.elf(found.real)
                assert below is not None          # _fits has read it
                loaded.setdefault(below.soname, found)
                queue.append((found.path, below, _search_paths(found.path, below, musl, elf.kind, searched)))
        return tuple(order)

    def find(self, name: str, like: Elf) -> Library | None:
        """The library that dlopen(`name`) in a program `like` this one would find in the machine's own places."""
        return self._find(name, like, is_musl(like), ())

    def _find(self, name: str, facts: Elf, musl: bool, directories: tuple[str, ...]) -> Library | None:
        key = (name, facts.kind, facts.no_default, directories)
        if key not in self._found:
            self._found[key] = self._look(name, facts, musl, directories)
        return self._found[key]

    def _look(self, name: str, facts: Elf, musl: bool, directories: tuple[str, ...]) -> Library | None:
        if "/" in name:
            return self._fits(name, facts.kind) if name.startswith("/") else None
        for directory in directories:
            found = self._fits(f"{directory}/{name}", facts.kind)
            if found:
                return found._replace(private=True)
        if facts.no_default:
            return None
        for path in self._usual(name, facts.kind, musl):
            found = self._fits(path, facts.kind)
            if found:
                return found
        return None

    def _usual(self, name: str, kind: Kind, musl: bool) -> list[str]:
        if musl:
            return [f"{directory}/{name}" for directory in self._musl_path(kind)]
        cached = self._cached().get((name, flags_of(kind) or 0), [])
        return cached + [f"{directory}/{name}" for directory in default_directories(kind)]

    def _cached(self) -> dict[tuple[str, int], list[str]]:
        if self._cache is None:
            self._cache = {}
            self._host.place("/etc/ld.so.cache")
            for entry in parse_cache(self._host.read("/etc/ld.so.cache", _CACHE_LIMIT)):
                self._cache.setdefault((entry.name, entry.flags), []).append(entry.path)
        return self._cache

    def _musl_path(self, kind: Kind) -> tuple[str, ...]:
        if kind not in self._musl_directories:
            text = self._host.read(f"/etc/ld-musl-{_MUSL.get((kind.bits, kind.machine), '')}.path", 1 << 16).decode("utf-8", "surrogateescape")
            listed = tuple(path for path in text.replace("\n", ":").split(":") if path.startswith("/"))
            self._musl_directories[kind] = listed or ("/lib", "/usr/local/lib", "/usr/lib")
        return self._musl_directories[kind]

    def _fits(self, path: str, kind: Kind) -> Library | None:
        """The library at `path`, if the loader would take it: a file of the same kind; others are passed over."""
        if not self._host.is_file(path):
            return None
        real = self._host.place(path).real
        try:
            elf = self._host.elf(real)
        except (ElfFault, NotReadable):
            return None
        return Library(path, real) if elf is not None and elf.kind == kind else None


def default_directories(kind: Kind) -> tuple[str, ...]:
    """Where glibc looks when its cache does not know: which of them are built in differs by distribution, that order does not."""
    multiarch = _MULTIARCH.get((kind.bits, kind.machine))
    return (*((f"/lib/{multiarch}", f"/usr/lib/{multiarch}") if multiarch else ()),
            *(("/lib64", "/usr/lib64") if kind.bits == 64 else ()), "/lib", "/usr/lib")


def is_musl(elf: Elf) -> bool:
    if elf.interpreter:
        return os.path.basename(elf.interpreter).startswith("ld-musl-")
    return any(name.startswith("libc.musl-") for name in elf.needed)


def _search_paths(path: str, facts: Elf, musl: bool, kind: Kind, inherited: tuple[str, ...]) -> tuple[str, ...]:
    """Directories that `path` hands on to what it loads. glibc: DT_RPATH, unless it has a DT_RUNPATH; musl: whichever it has.

    $ORIGIN is the directory of the path by which a library was found, links and all; of a program it is where the file really is.
    """
    listed = (facts.runpath if facts.runpath is not None else facts.rpath) if musl else (None if facts.runpath is not None else facts.rpath)
    return (*_expanded(listed or (), path, kind), *inherited)


def _own_paths(path: str, facts: Elf, musl: bool, handed_on: tuple[str, ...]) -> tuple[str, ...]:
    """Directories in which the needs of `path` itself are looked for: a DT_RUNPATH replaces all that would be inherited (glibc)."""
    if musl or facts.runpath is None:
        return handed_on
    return _expanded(facts.runpath, path, facts.kind)


def _expanded(directories: tuple[str, ...], path: str, kind: Kind) -> tuple[str, ...]:
    """The directories with $ORIGIN, $LIB and $PLATFORM replaced. What $LIB stands for is built into the loader: every value it has is tried."""
    architecture = (kind.bits, kind.machine)
    found: list[str] = []
    for directory in directories:
        text = directory.replace("${ORIGIN}", "$ORIGIN").replace("${LIB}", "$LIB").replace("${PLATFORM}", "$PLATFORM")
        text = text.replace("$ORIGIN", os.path.dirname(path)).replace("$PLATFORM", _PLATFORM.get(architecture, ""))
        libs = (f"lib/{_MULTIARCH.get(architecture, '')}", "lib64", "lib") if "$LIB" in text else ("",)
        found += [text.replace("$LIB", lib) for lib in libs]
    return tuple(dict.fromkeys(item.rstrip("/") for item in found if item.startswith("/")))
