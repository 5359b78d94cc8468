"""Programs, libraries and files of this machine -> entries of a plan: what a recipe (base, Python, programs by name) is written with."""

import os

from builder.base.closure import Closure, closure_of, find_program
from builder.base.elf import Elf
from builder.base.errors import BaseError
from builder.base.host import Host
from builder.base.layout import Move
from builder.base.ldcache import CacheEntry, encode_cache, flags_of
from builder.base.loader import Library, Loader, default_directories, is_musl
from builder.base.plan import Entry, File, Plan, Planner, Text


class Contents:
    """Collects what goes into one image. `directories` is the PATH in which programs are looked for."""

    __slots__ = ("_cached", "_directories", "_loader", "host", "like", "planner")

    def __init__(self, host: Host, directories: tuple[str, ...], moves: tuple[Move, ...] = ()) -> None:
        self.host = host
        self.planner = Planner(moves)
        self.like: Elf | None = None             # the first dynamic program: says which loader and architecture the image has
        self._directories = directories
        self._loader = Loader(host)
        self._cached: dict[tuple[str, int], Library] = {}

    def add(self, *entries: Entry) -> None:
        self.planner.add(*entries)

    def program(self, name: str) -> str:
        """Add the program `name` (or path) and all it needs; its path on this machine. Raises ProgramMissing and other BaseErrors."""
        path = find_program(self.host, name, self._directories)
        self.object(path)
        return path

    def object(self, path: str) -> Closure:
        """Add a program, script or library that is named by its path."""
        found = closure_of(self.host, self._loader, path, self._directories)
        if self.like is None and found.libraries:
            self.like = self._first_dynamic(found)
        self.planner.copy(found.files, found.hops)
        for library in found.libraries:
            self._remember(library)
        return found

    def try_object(self, path: str) -> bool:
        try:
            self.object(path)
        except BaseError:
            return False
        return True

    def soname(self, name: str) -> bool:
        """Add the library that dlopen(`name`) would find; False if there is none."""
        library = self._loader.find(name, self.like) if self.like is not None else None
        if library is None or not self.try_object(library.path):
            return False
        self._remember(library)
        return True

    def file(self, path: str) -> bool:
        """Add the file `path` as it is, with the links on the way; False if there is none that this user may read."""
        if not self.host.is_file(path):
            return False
        place = self.host.place(path)
        if not os.access(self.host.outer(place.real), os.R_OK):
            return False
        self.planner.copy((place.real,), place.hops)
        return True

    def file_as(self, path: str, source: str) -> bool:
        """Add this machine's file `source` at the image's path `path`; False if there is none that this user may read."""
        if not self.host.is_file(source):
            return False
        real = self.host.place(source).real
        if not os.access(self.host.outer(real), os.R_OK):
            return False
        self.add(File(path, real))
        return True

    def has_library(self, start: str) -> bool:
        return any(name.startswith(start) for name, _ in self._cached)

    def _first_dynamic(self, found: Closure) -> Elf | None:
        return next((elf for real in found.files if (elf := self.host.elf(real)) is not None and elf.interpreter), None)

    def _remember(self, library: Library) -> None:
        elf = self.host.elf(library.real)
        flags = flags_of(elf.kind) if elf is not None else None
        if flags is None or (library.private and not self.planner.is_moved(self._here(library))):
            return                               # a private one is found by who needs it, and is nobody else's
        key = (os.path.basename(library.path), flags)
        known = self._cached.get(key)
        if known is None or (known.private and not library.private):
            self._cached[key] = library

    def _here(self, library: Library) -> str:
        """The path by which the loader opens it, with real directories."""
        directory, name = os.path.split(library.path)
        return f"{self.host.place(directory).real.rstrip('/')}/{name}"

    def done(self) -> Plan:
        """The plan; with it the loader's own list of libraries, so that every one is found wherever it lies."""
        if self.like is not None and not is_musl(self.like):
            entries = [CacheEntry(name, self.planner.path(self._here(library)), flags) for (name, flags), library in self._cached.items()]
            usual = {self.planner.path(self.host.place(path).real or path) for path in default_directories(self.like.kind)}
            others = sorted({os.path.dirname(entry.path) for entry in entries} - usual - {"/usr/local/lib"})
            conf = "".join(f"{line}\n" for line in ("include /etc/ld.so.conf.d/*.conf", "/usr/local/lib", *others))
            self.add(Text("/etc/ld.so.conf", conf.encode()), Text("/etc/ld.so.cache", encode_cache(entries)))
        return self.planner.done()
