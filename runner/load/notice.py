"""What is accepted and has no effect on one machine, or not the effect that one might think: said in one line each."""

from runner.load.command import split
from runner.load.tree import Map

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Container
    from typing import Any

    from runner.load.report import Report

# paths below a service -> what is said of them
WITHOUT_EFFECT = {
    ("credential_spec",): "is for containers of Windows",
    ("isolation",): "is for containers of Windows, but for `chroot`",
    ("cpu_count",): "is for containers of Windows",
    ("cpu_percent",): "is for containers of Windows",
    ("deploy", "endpoint_mode"): "is for several machines",
    ("deploy", "placement"): "is for several machines",
    ("deploy", "resources", "reservations", "cpus"): "is for several machines",
    ("deploy", "resources", "reservations", "generic_resources"): "is for several machines",
    ("deploy", "update_config"): "is for updates of one replica after the other, which are not made here",
    ("deploy", "rollback_config"): "is for updates of one replica after the other, which are not made here",
    ("build", "isolation"): "is for containers of Windows",
    ("build", "provenance"): "asks for an attestation, and none are made here",
    ("build", "sbom"): "asks for an attestation, and none are made here",
}


def look(root: Map, report: "Report") -> None:
    """Warn of attributes without effect in a canonical tree."""
    declared = root.get("networks") or {}
    for name, service in (root.get("services") or {}).items():
        if service.__class__ is Map:
            _service(name, service, root.get("volumes") or {}, report)
            for key in service.get("networks") or ():
                if key[:2] == "x-" and key in declared:
                    report.warn(service["networks"].marks.get(key), f"`services.{name}.networks.{key}` joins no network: a key that begins "
                                "with `x-` is an extension", "give the network another name", key=True)


def _service(name: str, service: Map, volumes: "Container[str]", report: "Report") -> None:
    for path, reason in WITHOUT_EFFECT.items():
        node, mark = _at(service, path)
        if node and node not in (("default", "chroot") if path == ("isolation",) else ("default",) if path[-1] == "isolation" else ("false",)):
            report.warn(mark, f"`services.{name}.{'.'.join(path)}` has no effect: it {reason}", key=True)
    mode, mark = _at(service, ("deploy", "mode"))
    if mode in ("global", "replicated-job", "global-job"):
        report.warn(mark, f"`services.{name}.deploy.mode` is `{mode}`, which is for several machines: the service runs as `replicated`")
    for index, volume in enumerate(service.get("volumes") or ()):
        target = str(volume.get("target") or "") if volume.__class__ is Map else ""
        if target[1:2] == ":" and target[0] in volumes and "source" not in volume:
            report.warn(service["volumes"].marks[index], f"`services.{name}.volumes[{index}]` is an anonymous volume at `{target}`: one letter "
                        "and a colon are a drive of Windows", "use the long form, or a longer name for the volume")
        if volume.__class__ is Map and volume.get("type") in ("npipe", "cluster"):
            what = "containers of Windows" if volume["type"] == "npipe" else "several machines"
            report.warn(volume.marks.get("type"), f"`services.{name}.volumes[{index}]` is a mount for {what}: it cannot be made here")
    for key in ("command", "entrypoint"):
        line = service.get(key)
        if line.__class__ is str:
            try:
                left = split(line)[1]
            except ValueError:
                continue
            if left:
                report.warn(service.marks.get(key), f"`services.{name}.{key}` ends before `{left[:40]}`: no shell runs it",
                            "`sh -c '...'` runs a line in a shell")


def _at(node: "Any", path: "tuple[str, ...]") -> "tuple[Any, Any]":
    mark = None
    for step in path:
        if node.__class__ is not Map:
            return None, None
        mark, node = node.marks.get(step), node.get(step)
    return node, mark
