"""The wheel of pip that comes with a Python -> entries: pip as `ensurepip` would install it.

No byte code comes with it, as in the usual images of Python: it would weigh as much again, and only what installs something wants it.
"""

import posixpath
from io import BytesIO

from builder.base.plan import Text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from builder.base.host import Host

_LIMIT = 32 << 20                # bytes of a wheel, and of what is in it


def installer_entries(host: "Host", directories: tuple[str, ...], packages: str, programs: str, version: str) -> tuple[Text, ...]:
    """pip from the first of `directories` that has its wheel, for an image's directories `packages` and `programs`; () if none has.

    version: of the Python, as in `python3.11`.
    """
    for directory in directories:
        for name in host.names(directory):
            if name.startswith("pip-") and name.endswith(".whl"):
                files = _unpacked(host.read(f"{directory}/{name}", _LIMIT))
                if files:
                    return _installed(files, packages, programs, version)
    return ()


def _unpacked(wheel: bytes) -> dict[str, bytes]:
    """The files of a wheel; {} if it is none that can be used."""
    from zipfile import BadZipFile, ZipFile
    try:
        with ZipFile(BytesIO(wheel)) as archive:
            members = [member for member in archive.infolist() if not member.is_dir()]
            if sum(member.file_size for member in members) > _LIMIT or not all(_is_plain(member.filename) for member in members):
                return {}
            return {member.filename: archive.read(member) for member in members}
    except (BadZipFile, NotImplementedError, RuntimeError, EOFError):      # damaged, packed in a way unknown to this Python, encrypted
        return {}


def _is_plain(name: str) -> bool:
    return bool(name) and not name.startswith(("/", "..")) and posixpath.normpath(name) == name


def _installed(files: dict[str, bytes], packages: str, programs: str, version: str) -> tuple[Text, ...]:
    record = next((name for name in files if name.endswith(".dist-info/RECORD")), "")
    if not record or "pip/__main__.py" not in files:
        return ()
    names = ("pip", "pip3", f"pip{version}")
    script = f"#!{programs}/python{version}\nimport sys\nfrom pip._internal.cli.main import main\n\nsys.exit(main())\n".encode()
    own = f"{posixpath.dirname(record)}/INSTALLER"
    # what pip removes when it replaces itself
    lines = "".join(f"{path},,\n" for path in (own, *(posixpath.relpath(f"{programs}/{name}", packages) for name in names)))
    found = {**files, own: b"pip\n", record: files[record] + lines.encode()}
    return (*(Text(f"{packages}/{name}", data) for name, data in found.items()), *(Text(f"{programs}/{name}", script, 0o755) for name in names))
