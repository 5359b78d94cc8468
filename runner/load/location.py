"""Relative paths of a tree -> paths below the directory of the project that says them."""

import os

from kernel.value import Value
from runner.load import mount
from runner.load.tree import Map, Seq, show

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from runner.load.report import Report
    from runner.load.tree import Mark, Path

_REMOTE = ("https://", "http://", "git://", "ssh://", "github.com/", "git@")


class Place(Value):
    """Where relative paths of a file start.

    real:      the absolute directory.
    directory: the same as seen from the place of the file that includes or extends this one; absolute for a project's own files.
    home:      what `~` stands for, or "".
    inside:    a directory that no path may leave, or "": set for files that came from elsewhere.
    """

    real: str
    directory: str
    home: str = ""
    inside: str = ""

    def below(self, folder: str) -> "Place":
        """The place of a file in `folder`, which may be relative to this one."""
        real = os.path.normpath(os.path.join(self.real, folder))
        return self._replace(real=real, directory=os.path.relpath(real, self.real))

    def file(self, text: str) -> str:
        """The absolute path of a file that is named here."""
        return os.path.normpath(os.path.join(self.real, self.expanded(text)))

    def path(self, text: str) -> str:
        """`text` if it is absolute or empty, else below `directory`."""
        text = self.expanded(text)
        return os.path.normpath(os.path.join(self.directory, text)) if text and text[0] != "/" else text

    def host_path(self, text: str) -> str:
        """As `path`, but absolute paths of Windows stay as they are."""
        text = self.expanded(text)
        return text if mount.is_absolute_on_windows(text) else self.path(text)

    def context(self, text: str) -> str:
        """As `path`, but for what is no directory of this machine: URLs, images, other services."""
        return text if is_remote(text) else self.path(text)

    def followed(self, text: str) -> str:
        """As `path`, with symbolic links followed."""
        path = self.path(text)
        return os.path.realpath(path) if path[:1] == "/" else path

    def expanded(self, text: str) -> str:
        return os.path.normpath(f"{self.home}/{text[1:]}") if text[:1] == "~" and self.home else text

    def forbids(self, text: str) -> bool:
        """Whether the path `text`, as the file says it, leaves the directory that must not be left, links followed."""
        if not self.inside or is_remote(text):
            return False
        real, root = os.path.realpath(self.file(text)), os.path.realpath(self.inside)
        return real != root and not real.startswith(root.rstrip("/") + "/")


def is_remote(text: str) -> bool:
    """Whether `text` names something that is no file of this machine."""
    return "://" in text or text.startswith(("service:", *_REMOTE))


def resolve(root: Map, place: Place, report: "Report") -> None:
    """Make the paths of a canonical tree start at `place`, in place. Idempotent if `place.directory` is absolute."""
    def at(node: Map, key: str, convert: "Callable[[str], str]", path: "Path") -> None:
        if node.get(key).__class__ is str:
            node[key] = converted(node[key], convert, node.marks.get(key), (*path, key))

    def converted(text: str, convert: "Callable[[str], str]", mark: "Mark | None", path: "Path") -> str:
        if place.forbids(text):
            report.fault(mark, f"`{show(path)}` is `{text}`, outside of the remote project that asks for it", FORBIDDEN)
        return convert(text)

    for name, service in (root.get("services") or {}).items():
        if service.__class__ is not Map:
            continue
        path = ("services", name)
        build = service.get("build")
        if build.__class__ is Map:
            at(build, "context", place.context, (*path, "build"))
            for section, convert in (("additional_contexts", place.context), ("ssh", place.host_path)):
                for key in build.get(section) or ():
                    at(build[section], key, convert, (*path, "build", section))
        for index, file in enumerate(service.get("env_file") or ()):
            at(file, "path", place.path, (*path, "env_file", index))
        labels = service.get("label_file")
        if labels.__class__ is Seq:
            labels[:] = [converted(one, place.path, mark, (*path, "label_file")) for one, mark in zip(labels, labels.marks)]
        if service.get("extends").__class__ is Map:
            at(service["extends"], "file", place.context, (*path, "extends"))
        for index, rule in enumerate((service.get("develop") or {}).get("watch") or ()):
            at(rule, "path", place.followed, (*path, "develop", "watch", index))
        for index, volume in enumerate(service.get("volumes") or ()):
            if volume.__class__ is Map and volume.get("type") == "bind":
                at(volume, "source", place.host_path, (*path, "volumes", index))
    for kind in ("configs", "secrets"):
        for key, resource in (root.get(kind) or {}).items():
            if resource.__class__ is Map:
                at(resource, "file", place.host_path, (kind, key))
    for key, volume in (root.get("volumes") or {}).items():
        options = volume.get("driver_opts") if volume.__class__ is Map and volume.get("driver") == "local" else None
        if options.__class__ is Map and options.get("o") == "bind":
            at(options, "device", place.host_path, ("volumes", key, "driver_opts"))


FORBIDDEN = "`--allow remote-paths` lets remote files name paths of this machine"
