"""Short forms -> long forms, in place: after this an attribute has one shape, whichever of them the author used."""

from runner.load import mount, port
from runner.load.merge import mapping, sequence
from runner.load.scalar import text_of
from runner.load.tree import Map, Seq, show

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, TypeAlias

    from runner.load.report import Report
    from runner.load.tree import Mark, Path

    # value, its mark, its path, whether words may still have variables in them, report -> long form
    Long: TypeAlias = Callable[[Any, "Mark | None", "Path", bool, "Report"], Any]


def canonical(root: Map, report: "Report", raw: bool) -> None:
    """Bring the services and resources of `root` into their long forms; what cannot be read is noted.

    raw: variables are still in the words, so that a word which cannot be read may be good later: it stays as it is.
    Idempotent. `root` is as the schema says.
    """
    for name, service in (root.get("services") or {}).items():
        if service.__class__ is Map:
            _convert(service, SERVICE, ("services", name), report, raw)
    for kind in ("networks", "volumes", "secrets", "configs"):
        for key, resource in (root.get(kind) or {}).items():
            if resource.__class__ is Map and resource.get("external").__class__ is Map:
                _external(resource, (kind, key), report)


def service(node: Map, path: "Path", report: "Report", raw: bool) -> None:
    """Bring one service into its long form."""
    _convert(node, SERVICE, path, report, raw)


def _convert(node: Map, forms: "dict[str, Long]", path: "Path", report: "Report", raw: bool) -> None:
    for key, value in list(node.items()):
        form = forms.get(key)
        if form is not None and value is not None:
            node[key] = form(value, node.marks.get(key), (*path, key), raw, report)


def _external(resource: Map, path: "Path", report: "Report") -> None:
    old, mark = resource["external"], resource.marks.get("external")
    resource["external"] = True
    if "name" in old:
        report.warn(mark, f"`{show(path)}` uses `external.name`, which is deprecated", "write `name` beside `external: true`", key=True)
        if resource.get("name", old["name"]) != old["name"]:
            report.fault(mark, f"`{show(path)}` has a `name` and another `external.name`", "leave `external.name` out", key=True)
        resource.put("name", old["name"], old.marks.get("name"))


def _each(convert: "Long") -> "Long":
    def form(value: "Any", mark: "Mark | None", path: "Path", raw: bool, report: "Report") -> "Any":
        for index, item in enumerate(value):
            value[index] = convert(item, value.marks[index], (*path, index), raw, report)
        return value
    return form


def _texts(value: "Any", mark: "Mark | None", path: "Path", raw: bool, report: "Report") -> "Any":
    return sequence(value, mark)


def _resolvers(value: "Any", mark: "Mark | None", path: "Path", raw: bool, report: "Report") -> "Any":
    items = sequence(value, mark)
    kept = [(item, place) for item, place in zip(items, items.marks) if item != ""]
    return Seq([item for item, _ in kept], [place for _, place in kept])


def _word(value: "Any", mark: "Mark | None", path: "Path", raw: bool, report: "Report") -> "Any":
    return text_of(value)


def _attachments(value: "Any", mark: "Mark | None", path: "Path", raw: bool, report: "Report") -> "Any":
    return mapping(value)


def _pairs(value: "Any", mark: "Mark | None", path: "Path", raw: bool, report: "Report") -> "Any":
    """`key=value`s as a mapping; a key alone has a null."""
    if value.__class__ is not Seq:
        return value
    found = Map()
    for item, place in zip(value, value.marks):
        key, equals, word = item.partition("=")
        found.put(key, word if equals else None, place)
    return found


def _ssh(value: "Any", mark: "Mark | None", path: "Path", raw: bool, report: "Report") -> "Any":
    found = _pairs(value, mark, path, raw, report)
    for key in found:
        if found[key] is None and key != "default" and not raw:
            report.fault(found.marks.get(key, mark), f"`{show(path)}` has the key `{key}` without a path", "only `default` goes without")
    return found


def _build(value: "Any", mark: "Mark | None", path: "Path", raw: bool, report: "Report") -> "Any":
    if value.__class__ is not Map:
        return Map({"context": value}, {"context": mark} if mark else {})
    _convert(value, BUILD, path, report, raw)
    return value


def _depends_on(value: "Any", mark: "Mark | None", path: "Path", raw: bool, report: "Report") -> "Any":
    found = mapping(value, condition="service_started", required=True)
    for dependency in found.values():
        dependency.setdefault("condition", "service_started")
        dependency.setdefault("required", True)
    return found


def _env_files(value: "Any", mark: "Mark | None", path: "Path", raw: bool, report: "Report") -> "Any":
    files = sequence(value, mark)
    for index, (item, place) in enumerate(zip(files, files.marks)):
        if item.__class__ is not Map:
            files[index] = Map({"path": item}, {"path": place} if place else {})
        files[index].setdefault("required", True)
    return files


def _gpus(value: "Any", mark: "Mark | None", path: "Path", raw: bool, report: "Report") -> "Any":
    return value if value.__class__ is Seq else Seq([Map({"count": "all"})], [mark])


def _grant(value: "Any", mark: "Mark | None", path: "Path", raw: bool, report: "Report") -> "Any":
    """A secret or a config of a service."""
    return value if value.__class__ is Map else Map({"source": value}, {"source": mark} if mark else {})


def _device(value: "Any", mark: "Mark | None", path: "Path", raw: bool, report: "Report") -> "Any":
    if value.__class__ is Map:
        value.setdefault("target", value["source"])
        value.setdefault("permissions", "rwm")
        return value
    parts = value.split(":")
    if len(parts) > 3:
        if not raw:
            report.fault(mark, f"`{show(path)}` is `{value}`: too many colons", "use the long form: source, target, permissions")
        return value
    source, target, permissions = [*parts, "", ""][:3]
    return Map({"source": source, "target": target or source, "permissions": permissions or "rwm"})


def _volume(value: "Any", mark: "Mark | None", path: "Path", raw: bool, report: "Report") -> "Any":
    if value.__class__ is Map:
        return value
    try:
        found = Map(mount.parse(value))
    except ValueError as error:
        if not raw:
            report.fault(mark, f"`{show(path)}` is `{value}`: {error}")
        return value
    for key in ("bind", "volume"):
        if key in found:
            found[key] = Map(found[key])
    for option in mount.unknown(value) if not raw else ():
        report.warn(mark, f"`{show(path)}` has the option `{option}`, which means nothing")
    return found


def _ports(value: "Any", mark: "Mark | None", path: "Path", raw: bool, report: "Report") -> "Any":
    """A list of ports; ranges become as many ports."""
    found = Seq()
    for index, (item, place) in enumerate(zip(value, value.marks)):
        if item.__class__ is Map:
            found.add(item, place)
            continue
        try:
            if item.__class__ is float:
                raise ValueError("no port has a fraction")
            for one in port.parse(str(item)):
                found.add(Map(one), place)
        except ValueError as error:
            if not raw:
                report.fault(place, f"`{show((*path, index))}` is `{item}`: {error}")
            found.add(item, place)
    return found


BUILD: "dict[str, Long]" = {
    "ssh": _ssh, "provenance": _word, "sbom": _word, "additional_contexts": _pairs, "secrets": _each(_grant),
}
SERVICE: "dict[str, Long]" = {
    "build": _build, "configs": _each(_grant), "depends_on": _depends_on, "devices": _each(_device),
    "dns": _resolvers, "env_file": _env_files, "gpus": _gpus, "label_file": _texts, "models": _attachments,
    "networks": _attachments, "ports": _ports, "secrets": _each(_grant), "volumes": _each(_volume),
}
