"""What this machine's package manager knows of files: paths enter; owning packages, versions and a package's other files leave.

Read from dpkg's own text files (dpkg(1), "/var/lib/dpkg"); other machines have nothing to say, which is an answer too. Not in the
fingerprint: an upgrade replaces the files themselves.
"""

import os

from builder.base.host import Host
from builder.base.layout import MERGED

_INFO, _STATUS = "/var/lib/dpkg/info", "/var/lib/dpkg/status"
# what a package has for readers, not for programs
_FOR_READERS = ("/usr/share/bash-completion/", "/usr/share/bug/", "/usr/share/doc-base/", "/usr/share/doc/", "/usr/share/fish/",
                "/usr/share/info/", "/usr/share/lintian/", "/usr/share/locale/", "/usr/share/man/", "/usr/share/metainfo/", "/usr/share/zsh/")


def owners(host: Host, paths: "set[str]") -> dict[str, str]:
    """Name of the package that each of the real paths belongs to; those that belong to none are left out."""
    spelled = {name: path for path in paths for name in _spellings(path)}
    wanted = {os.fsencode(name) for name in spelled}
    found: dict[str, str] = {}
    for package, data in _lists(host):
        lines = data.split(b"\n")
        if not wanted.isdisjoint(lines):
            found.update((spelled[os.fsdecode(line)], package) for line in wanted.intersection(lines))
    return found


def files_of(host: Host, path: str) -> tuple[str, ...]:
    """Paths of the package that owns the real path: what its programs may read or run. () if none does."""
    wanted = {os.fsencode(name) for name in _spellings(path)}
    for _, data in _lists(host):
        lines = data.split(b"\n")
        if not wanted.isdisjoint(lines):
            names = (os.fsdecode(line) for line in lines if line)
            return tuple(name for name in names if name.startswith("/") and not name.startswith(_FOR_READERS))
    return ()


def versions(host: Host) -> dict[str, str]:
    """Version of every package that dpkg says is there."""
    found = {}
    for paragraph in _bytes(host, _STATUS).decode("utf-8", "replace").split("\n\n"):
        fields = dict(line.split(": ", 1) for line in paragraph.split("\n") if ": " in line and not line.startswith(" "))
        if "Package" in fields and "Version" in fields and fields.get("Status", "").endswith(" installed"):
            found[fields["Package"]] = fields["Version"]
    return found


def _lists(host: Host) -> list[tuple[str, bytes]]:
    """(package, its list of paths) for all packages, by name."""
    try:
        names = sorted(os.listdir(host.outer(_INFO)))
    except OSError:
        return []
    return [(name[:-5].partition(":")[0], _bytes(host, f"{_INFO}/{name}")) for name in names if name.endswith(".list")]


def _bytes(host: Host, path: str) -> bytes:
    try:
        with open(host.outer(path), "rb") as file:
            return file.read()
    except OSError:
        return b""


def _spellings(path: str) -> list[str]:
    """A path as packages may spell it: dpkg keeps what the package said before /bin and its like became links."""
    short = path.removeprefix("/usr")
    return [path, short] if short != path and f"/{short[1:].partition('/')[0]}" in MERGED else [path]
