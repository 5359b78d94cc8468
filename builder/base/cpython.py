"""The running CPython -> entries: interpreter and standard library, moved to /usr/local, whichever place and distribution they come from.

A venv stands for the interpreter it was made with. Third-party packages stay behind; so do tests, Tk and what only serves to build Python.
"""

import os
import sys

from builder.base.ambient import BUNDLE
from builder.base.bytecode import compiled_text
from builder.base.contents import Contents
from builder.base.errors import NotUsable
from builder.base.host import Place
from builder.base.installer import installer_entries
from builder.base.layout import Move, relative
from builder.base.plan import Bytecode, Directory, File, Link, Text
from kernel.value import Value

_PREFIX = "/usr/local"
_SKIPPED_DIRECTORIES = frozenset({"__pycache__", "dist-packages", "idle_test", "idlelib", "lib-dynload", "site-packages", "test", "tests", "tkinter",
                                  "turtledemo"})
_SKIPPED_FILES = frozenset({"EXTERNALLY-MANAGED", "sitecustomize.py", "turtle.py", "usercustomize.py"})
_SKIPPED_ENDINGS = (".a", ".pyc", ".pyo")
# extension modules that are for Python's own tests, or whose libraries would weigh more than Python itself
_SKIPPED_EXTENSIONS = ("_ctypes_test", "_test", "_tkinter", "_xxtestfuzz", "nis", "xxlimited", "xxsubtype")
# libraries that wheels may expect of every machine (PEP 600; auditwheel's policies), beyond those of the C library; not those for windows
_WHEELS_LOAD = ("libstdc++.so.6", "libatomic.so.1", "libexpat.so.1", "libz.so.1")
_SYSCONFIG_LIMIT = 4 << 20       # bytes


class Python(Value):
    """An installed CPython; all paths are real ones of this machine."""

    version: str                 # 3.11
    release: str                 # 3.11.7
    executable: str
    prefix: str
    library: str                 # directory of the standard library
    extensions: str              # its lib-dynload
    certificates: str            # the file in which its OpenSSL looks for certificates, as compiled in; "" without ssl
    wheels: str                  # where its ensurepip takes wheels from; "" if from itself
    layout: str                  # "debian", "fedora" or "": who has changed where packages are installed


def running_python() -> Python:
    """The interpreter of this process. Raises NotUsable."""
    import sysconfig
    if sys.implementation.name != "cpython":
        raise NotUsable(sys.executable, f"is no CPython but {sys.implementation.name}", help="`host/python` is made of a running CPython")
    executable = os.path.realpath(getattr(sys, "_base_executable", "") or sys.executable)
    prefix = os.path.realpath(sys.base_prefix)
    library = os.path.realpath(sysconfig.get_path("stdlib"))
    own = os.path.join(library, "lib-dynload")
    other = os.path.join(sys.base_exec_prefix, sys.platlibdir, os.path.basename(library), "lib-dynload")
    schemes = sysconfig.get_scheme_names()
    try:
        import ssl
        certificates = ssl.get_default_verify_paths().openssl_cafile
    except ImportError:
        certificates = ""
    return Python(f"{sys.version_info[0]}.{sys.version_info[1]}", sys.version.split()[0], executable, prefix, library,
                  os.path.realpath(own if os.path.isdir(own) else other), certificates, str(sysconfig.get_config_var("WHEEL_PKG_DIR") or ""),
                  "debian" if "posix_local" in schemes else "fedora" if "rpm_prefix" in schemes else "")


def moves_of(python: Python) -> tuple[Move, ...]:
    """How this Python comes to lie below /usr/local."""
    inside = os.path.relpath(python.library, python.prefix)
    if inside.startswith(".."):
        raise NotUsable(python.library, f"is not below {python.prefix}, where the interpreter looks for its standard library")
    moves = [Move(python.executable, f"{_PREFIX}/bin/python{python.version}"), Move(python.extensions, f"{_PREFIX}/{inside}/lib-dynload"),
             Move(python.library, f"{_PREFIX}/{inside}")]
    # /usr is everybody's: of it only what is Python's moves
    return tuple(moves if python.prefix in ("/", "/usr") else [*moves, Move(python.prefix, _PREFIX)])


def add_python(contents: Contents, python: Python) -> None:
    """Add `python` to contents that were begun with its moves."""
    contents.object(python.executable)
    binary = contents.planner.path(python.executable)
    for name in ("python", "python3"):
        path = f"{_PREFIX}/bin/{name}"
        contents.add(Link(path, relative(path, binary)))
    _library(contents, python, python.library)
    for name in contents.host.names(python.extensions):
        if name.endswith(".so") and not name.startswith(_SKIPPED_EXTENSIONS):
            contents.try_object(f"{python.extensions}/{name}")
    if python.wheels:
        for name in contents.host.names(python.wheels):
            if name.endswith(".whl"):
                contents.file(f"{python.wheels}/{name}")
    _packages(contents, python)
    for name in _WHEELS_LOAD:
        contents.soname(name)


def environment(python: Python) -> tuple[str, ...]:
    """What a process needs in its environment to use this Python where it lies in the image."""
    return () if not python.certificates or _is_shared(python.certificates) else (f"SSL_CERT_FILE={BUNDLE}",)


def _is_shared(path: str) -> bool:
    """Whether `path` is one of the system's places, which an image can have, not one below somebody's own directory."""
    return path.startswith(("/etc/", "/usr/"))


def _library(contents: Contents, python: Python, directory: str) -> None:
    """Add the modules in `directory`. A single module is not looked at: the directories say when modules come, go or are replaced."""
    for name, kind in contents.host.entries(directory):
        path = f"{directory}/{name}"
        if kind == "directory":
            if name not in _SKIPPED_DIRECTORIES and not name.startswith("config-"):
                _library(contents, python, path)
        elif kind and name not in _SKIPPED_FILES and not name.endswith(_SKIPPED_ENDINGS):
            _module(contents, python, path, kind)


def _module(contents: Contents, python: Python, path: str, kind: str) -> None:
    name = os.path.basename(path)
    place = contents.host.place(path) if kind == "link" else Place(path, ())
    real = place.real
    if not real or (kind == "link" and not contents.host.is_file(path)):
        return
    if kind == "link" and real.startswith(python.library + "/"):
        contents.planner.copy((), place.hops)    # what it leads to has its own turn
    elif name.startswith("_sysconfigdata"):
        _relocated(contents, python, path)
    elif name.endswith(".so"):
        contents.try_object(path)
    else:
        module = contents.planner.path(path)
        contents.add(File(module, real))
        if name.endswith(".py"):
            contents.add(Bytecode(_cache_path(module), real, module))


def _relocated(contents: Contents, python: Python, path: str) -> None:
    """A record of how Python was built, with the image's paths in place of this machine's."""
    module = contents.planner.path(path)
    text = contents.host.read(path, _SYSCONFIG_LIMIT)
    if python.prefix == "/usr":                  # not Python's alone: only where it is the whole value
        text = text.replace(b"'/usr'", f"'{_PREFIX}'".encode())
    else:
        text = text.replace(os.fsencode(python.prefix), os.fsencode(_PREFIX))
    contents.add(Text(module, text), Text(_cache_path(module), compiled_text(text, module)))


def _cache_path(module: str) -> str:
    directory, name = os.path.split(module)
    return f"{directory}/__pycache__/{name[:-3]}.{sys.implementation.cache_tag}.pyc"


def _packages(contents: Contents, python: Python) -> None:
    """pip, and where packages get installed: site-packages, and /usr/local/bin for their programs, also where the distribution made that differ."""
    library = contents.planner.path(python.library)
    packages = f"{library}/site-packages"
    contents.add(Directory(packages))
    wheels = (*((python.wheels,) if python.wheels else ()), f"{python.library}/ensurepip/_bundled")
    contents.add(*installer_entries(contents.host, wheels, packages, f"{_PREFIX}/bin", python.version))
    if python.layout == "debian":
        contents.add(Link(f"{library}/dist-packages", "site-packages"))
    if python.layout:
        # they install to PREFIX/local, since their own prefix is /usr; here the prefix is /usr/local already
        contents.add(Link(f"{_PREFIX}/local", "."))


