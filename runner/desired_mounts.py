"""What a service mounts -> Mounts and Files of its containers: volumes, tmpfs, configs and secrets. Reads contents only."""

import os

from runner.container import File, Mount
from runner.errors import InvalidService

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import TypeAlias

    from runner.model import build, part, project
    from runner.model.service import Service

    Path: TypeAlias = tuple[str | int, ...]

CONTENT_MAX = 1 << 20
_WINDOWS = {"npipe": "a pipe of Windows", "cluster": "a volume of several machines"}


class Contents:
    """Reads the contents of configs and secrets, each once. `project`: where they are declared."""

    __slots__ = ("_declared", "_read")

    def __init__(self, project: "project.Project") -> None:
        self._declared = {"configs": {one.key: one for one in project.configs}, "secrets": {one.key: one for one in project.secrets}}
        self._read: dict[str, bytes] = {}

    def declared(self, kind: str, key: str, at: "Path") -> "project.File":
        """Raises InvalidService for one that only a cluster keeps."""
        found = self._declared[kind][key]
        if found.external:
            raise InvalidService(at, f"is the {kind[:-1]} `{found.name or key}` of a cluster: there is none on one machine",
                                 "give it a `file:` or an `environment:`")
        return found

    def of(self, declared: "project.File", at: "Path") -> bytes:
        """What the file says. Raises InvalidService."""
        if not declared.file:
            if declared.environment and declared.value is None:
                raise InvalidService(at, f"takes its content from the variable `{declared.environment}`, which is not set",
                                     "set it in the environment or in `.env`")
            return (declared.value or "" if declared.environment else declared.content).encode("utf-8", "surrogateescape")
        if declared.file not in self._read:
            self._read[declared.file] = _bytes(declared.file, at)
        return self._read[declared.file]


def _bytes(path: str, at: "Path") -> bytes:
    try:
        with open(path, "rb") as file:
            data = file.read(CONTENT_MAX + 1)
    except OSError as error:
        raise InvalidService(at, f"cannot be read from `{path}`: {(error.strerror or '').lower()}") from error
    if len(data) > CONTENT_MAX:
        raise InvalidService(at, f"is read from `{path}`, which is larger than 1 MiB")
    return data


# ---------------------------------------------------------------- configs and secrets
class Granted:
    """What the grants of one service come to: files in memory; directories are bound. contents: (target, bytes), for the service's hash."""

    __slots__ = ("contents", "files", "mounts")

    def __init__(self, service: "Service", contents: Contents) -> None:
        self.contents: list[tuple[str, bytes]] = []
        self.files: list[File] = []
        self.mounts: list[Mount] = []
        for kind, grants in (("configs", service.configs), ("secrets", service.secrets)):
            for index, grant in enumerate(grants):
                self._grant(kind, grant, ("services", service.name, kind, index), contents)

    def _grant(self, kind: str, grant: "build.Grant", at: "Path", contents: Contents) -> None:
        declared = contents.declared(kind, grant.source, at)
        target = _target(kind, grant)
        if declared.file and os.path.isdir(declared.file):
            self.mounts.append(Mount("bind", target, declared.file, readonly=True))
            return
        data = contents.of(declared, (kind, declared.key))
        self.contents.append((target, data))
        self.files.append(File(target, declared.file, b"" if declared.file else data, _id(grant.uid, (*at, "uid")), _id(grant.gid, (*at, "gid")),
                               0o444 if grant.mode is None else grant.mode))


def _target(kind: str, grant: "build.Grant") -> str:
    target = grant.target or grant.source
    if target.startswith("/"):
        return target
    return f"/run/secrets/{target}" if kind == "secrets" else f"/{target}"


def _id(text: str, at: "Path") -> int:
    if not text:
        return 0
    if not text.isascii() or not text.isdigit() or int(text) >= 1 << 32:
        raise InvalidService(at, f"is `{text}`: the owner of a file is given as a number here")
    return int(text)


# ---------------------------------------------------------------- volumes
def mounts(service: "Service", declared: "project.Project") -> "tuple[Mount, ...]":
    """Volumes and tmpfs of a service. Raises InvalidService."""
    names = {one.key: one.name for one in declared.volumes}
    found = [_mount(one, names, ("services", service.name, "volumes", index)) for index, one in enumerate(service.volumes)]
    return (*found, *map(tmpfs_of, service.tmpfs))


def _mount(mount: "part.Mount", names: "dict[str, str]", at: "Path") -> Mount:
    if mount.type in _WINDOWS:
        raise InvalidService(at, f"is {_WINDOWS[mount.type]}, which cannot be mounted here")
    made = Mount(mount.type, mount.target, mount.source, readonly=mount.read_only)
    if mount.type == "bind":
        bind = mount.bind
        return made._replace(create=bind is None or bind.create_host_path, propagation=bind.propagation if bind else "",
                             recursive=bind is None or bind.recursive != "disabled")
    if mount.type == "volume":
        volume = mount.volume
        made = made._replace(source=names.get(mount.source, mount.source))
        return made._replace(nocopy=volume.nocopy, subpath=volume.subpath, labels=volume.labels) if volume else made
    if mount.type == "tmpfs" and mount.tmpfs:
        return made._replace(size=mount.tmpfs.size, mode=mount.tmpfs.mode)
    if mount.type == "image" and mount.image:
        return made._replace(subpath=mount.image.subpath)
    return made


def tmpfs_of(word: str) -> Mount:
    target, _, options = word.partition(":")
    return Mount("tmpfs", target, options=tuple(option for option in options.split(",") if option))
