"""The kinds of base image there are: a kind or a list of programs enters, a Recipe leaves. Reads this machine, writes nothing."""

import os

from builder.base.ambient import add_ambient
from builder.base.closure import find_program
from builder.base.contents import Contents
from builder.base.errors import BaseError, NotUsable
from builder.base.host import Host
from builder.base.layout import Move, relative
from builder.base.loader import is_musl
from builder.base.packages import files_of, owners, versions
from builder.base.plan import Directory, Link, Plan
from builder.base.programs import DIRECTORIES, NEEDED, OPTIONAL
from builder.base.skeleton import skeleton
from kernel.value import Value

PATH = ("/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin")
# what is everybody's to read; a program from elsewhere is put into the PATH of the image
_SHARED = ("/bin/", "/gnu/", "/lib", "/nix/", "/opt/", "/sbin/", "/usr/")


class Recipe(Value):
    """What an image is made of, and what it says of itself."""

    name: str
    host: Host                   # that the plan's sources are on; its notes say what decided the plan
    plan: Plan
    env: tuple[str, ...]
    command: tuple[str, ...]
    labels: tuple[tuple[str, str], ...]


def base_recipe(host: Host) -> Recipe:
    """`host/base`: a shell and the usual tools."""
    contents = _begun(host, "host/base", DIRECTORIES)
    add_ambient(contents)
    return _done(contents, "host/base", (), ("/bin/sh",))


def python_recipe(host: Host) -> Recipe:
    """`host/python`: host/base with the running CPython in /usr/local. Raises NotUsable."""
    from builder.base.cpython import add_python, environment, moves_of, running_python
    python = running_python()
    contents = _begun(host, "host/python", DIRECTORIES, moves_of(python))
    add_python(contents, python)
    add_ambient(contents, (python.certificates,))
    recipe = _done(contents, "host/python", environment(python), ("python3",))
    return recipe._replace(labels=(*recipe.labels, ("io.pybuild.base.python", python.release)))


def busybox_recipe(host: Host) -> Recipe:
    """One static program with links for its applets; nothing else."""
    from builder.base.busybox import add_busybox
    contents = Contents(host, DIRECTORIES)
    contents.add(*skeleton(host, "busybox", "/bin/sh"))
    add_busybox(contents)
    return _done(contents, "busybox", (), ("sh",))


def program_recipe(host: Host, name: str, programs: tuple[str, ...], extra: tuple[str, ...] = (),
                   directories: tuple[str, ...] = DIRECTORIES) -> Recipe:
    """`host/base` with more programs, by name or path, and `extra` files and directories of this machine, at the paths they have here.

    With a program come the other files of its package, where the machine can tell: what git runs, what perl loads.
    directories: where the named programs are looked for. Raises ProgramMissing and the other BaseErrors.
    """
    paths = [find_program(host, program, directories) for program in programs]
    contents = _begun(host, name, directories, tuple(move for path in paths for move in _into_path(host, path)))
    for path in paths:
        needed = (path, *contents.object(path).interpreters)
        if any(os.path.basename(program).startswith("python") for program in needed):
            raise NotUsable(path, "needs Python's standard library", help="`FROM host/python` has the Python that runs this command")
        real = host.place(path).real
        here = contents.planner.path(real)
        if os.path.dirname(here) not in PATH:
            own = f"/usr/local/bin/{os.path.basename(path)}"
            contents.add(Link(own, relative(own, here)))
        for other in files_of(host, real):
            if host.is_file(other):
                _add_file(contents, other)
    for path in extra:
        _add_tree(contents, os.path.abspath(path))
    add_ambient(contents)
    return _done(contents, name, (), ("/bin/sh",))


def _begun(host: Host, name: str, directories: tuple[str, ...], moves: tuple[Move, ...] = ()) -> Contents:
    """Contents that have what every image with a shell has."""
    contents = Contents(host, directories, moves)
    has_bash = any(host.is_executable(f"{directory}/bash") for directory in DIRECTORIES)
    contents.add(*skeleton(host, name, "/bin/bash" if has_bash else "/bin/sh"))
    for program in NEEDED:
        contents.object(find_program(host, program, DIRECTORIES))
    for program in OPTIONAL:
        try:
            contents.object(find_program(host, program, DIRECTORIES))
        except BaseError:                        # this machine does without
            continue
    return contents


def _into_path(host: Host, path: str) -> list[Move]:
    """A program from somebody's own directory goes to /usr/local/bin, unless it finds its libraries by where it lies."""
    real = host.place(path).real
    if real.startswith(_SHARED):
        return []
    elf = host.elf(real)
    searched = (*(elf.rpath or ()), *(elf.runpath or ())) if elf is not None else ()
    return [] if any("ORIGIN" in directory for directory in searched) else [Move(real, f"/usr/local/bin/{os.path.basename(path)}")]


def _add_file(contents: Contents, path: str) -> None:
    """Add a file of a package or a tree; of an ELF file what it needs too, if that is all there."""
    try:
        is_object = contents.host.elf(contents.host.place(path).real) is not None
    except BaseError:
        is_object = False
    if not is_object or not contents.try_object(path):
        contents.file(path)


def _add_tree(contents: Contents, path: str) -> None:
    host = contents.host
    if host.is_file(path):
        _add_file(contents, path)
        return
    if not host.is_directory(path) or host.place(path).real == "/":
        raise NotUsable(path, "is no file or directory that can be copied")
    for hop in host.place(path).hops:
        contents.planner.copy((), (hop,))
    real = host.place(path).real
    contents.add(Directory(contents.planner.path(real)))
    for name, kind in host.entries(real):
        if kind == "directory":
            _add_tree(contents, f"{real}/{name}")
        elif kind and host.is_file(f"{real}/{name}"):
            _add_file(contents, f"{real}/{name}")
        elif kind == "link":
            contents.planner.copy((), host.place(f"{real}/{name}").hops)


def _done(contents: Contents, name: str, env: tuple[str, ...], command: tuple[str, ...]) -> Recipe:
    plan = contents.done()
    labels = [("io.pybuild.base", "host")]
    glibc = _glibc() if contents.like is not None and not is_musl(contents.like) else ""
    if glibc:
        labels.append(("io.pybuild.base.glibc", glibc))
    known = versions(contents.host)
    packages = sorted(set(owners(contents.host, set(plan.sources())).values()) & known.keys()) if known else []
    if packages:
        labels.append(("io.pybuild.base.packages", " ".join(f"{package}={known[package]}" for package in packages)))
    return Recipe(name, contents.host, plan, (f"PATH={':'.join(PATH)}", *env), command, tuple(labels))


def _glibc() -> str:
    try:
        return (os.confstr("CS_GNU_LIBC_VERSION") or "").removeprefix("glibc ")
    except (ValueError, OSError):                # a Python with another libc
        return ""
