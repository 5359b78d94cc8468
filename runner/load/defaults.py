"""What goes without saying, put into a whole tree; and what attributes of one resource say against each other."""

from runner.load import port
from runner.load.tree import Map, Seq, show

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from runner.load.report import Report
    from runner.load.tree import Mark, Path


def fill(root: Map) -> None:
    """Put the defaults of long forms where nothing was said. Idempotent."""
    for service in _services(root):
        build = service.get("build")
        if build.__class__ is Map:
            build.setdefault("context", ".")
        for grant, _ in _items(service, "secrets"):
            grant.setdefault("target", f"/run/secrets/{grant.get('source', '')}")
        for published, _ in _items(service, "ports"):
            published.setdefault("mode", "ingress")
            published.setdefault("protocol", "tcp")
        for mount, _ in _items(service, "volumes"):
            if mount.get("bind").__class__ is Map:
                mount["bind"].setdefault("create_host_path", True)
        for request, _ in (*_items(service, "gpus"), *_reserved(service)):
            if "device_ids" not in request:
                request.setdefault("count", "all")


def check(root: Map, report: "Report") -> None:
    """Note what cannot be together in one resource of a canonical tree."""
    for key, volume in (root.get("volumes") or {}).items():
        _external(volume, ("volumes", key), report)
    for key, network in (root.get("networks") or {}).items():
        _external(network, ("networks", key), report)
    for kind, sources in (("configs", ("file", "environment", "content")), ("secrets", ("file", "environment"))):
        for key, resource in (root.get(kind) or {}).items():
            _sources(resource, sources, (kind, key), root[kind].marks.get(key), report)
    for name, service in (root.get("services") or {}).items():
        if service.__class__ is Map:
            _service(service, ("services", name), report)


def _service(service: Map, path: "Path", report: "Report") -> None:
    for index, (published, mark) in enumerate(_items(service, "ports")):
        where = f"`{show((*path, 'ports', index))}`"
        if not published.get("target"):
            report.fault(mark, f"{where} has no `target`: the port in the container")
        host = published.get("host_ip")
        if host and "$" not in host:
            try:
                port.address(host)
            except ValueError as error:
                report.fault(published.marks.get("host_ip", mark), f"{where}: {error}")
    for index, (mount, mark) in enumerate(_items(service, "volumes")):
        where = f"`{show((*path, 'volumes', index))}`"
        if not mount.get("target"):
            report.fault(mark, f"{where} has no `target`: the path in the container")
        if mount.get("type") == "bind" and not mount.get("source"):
            report.fault(mark, f"{where} is a bind mount without a `source`")
    develop = service.get("develop")
    for index, (rule, mark) in enumerate(_items(develop, "watch") if develop.__class__ is Map else ()):
        if not rule.get("path"):
            report.fault(mark, f"`{show((*path, 'develop', 'watch', index, 'path'))}` is empty")
    for request, mark in (*_items(service, "gpus"), *_reserved(service)):
        if "count" in request and "device_ids" in request:
            report.fault(mark, f"a device request of `{show(path)}` has both `count` and `device_ids`", "leave one of them out")


def _services(root: Map) -> "Iterator[Map]":
    for service in (root.get("services") or {}).values():
        if service.__class__ is Map:
            yield service


def _items(node: "Any", key: str) -> "Iterator[tuple[Map, Mark | None]]":
    """The mappings in the list at `key`, with their marks."""
    value = node.get(key)
    if value.__class__ is Seq:
        for item, mark in zip(value, value.marks):
            if item.__class__ is Map:
                yield item, mark


def _reserved(service: Map) -> "Iterator[tuple[Map, Mark | None]]":
    node: Any = service
    for key in ("deploy", "resources", "reservations"):
        node = node.get(key)
        if node.__class__ is not Map:
            return
    yield from _items(node, "devices")


def _external(resource: "Any", path: "Path", report: "Report") -> None:
    if resource.__class__ is not Map or resource.get("external") is not True:
        return
    for key in resource:
        if key in ("name", "external") or key.startswith("x-"):
            continue
        mark = resource.marks.get(key)
        if path[0] == "networks":
            report.warn(mark, f"`{show(path)}` is external, so its `{key}` is not looked at", key=True)
        else:
            report.fault(mark, f"`{show(path)}` is external and has `{key}`", "whoever makes it decides that; leave one of the two out", key=True)


def _sources(resource: "Any", sources: "tuple[str, ...]", path: "Path", mark: "Mark | None", report: "Report") -> None:
    if resource.__class__ is not Map:
        return
    given = [key for key in sources if key in resource]
    if len(given) > 1:
        report.fault(resource.marks.get(given[1], mark), f"`{show(path)}` has {' and '.join(f'`{key}`' for key in given)}",
                     "a content has one source", key=True)
    elif not given and "driver" not in resource and "external" not in resource:
        report.fault(mark, f"`{show(path)}` has none of {', '.join(f'`{key}`' for key in sources)}", "say where its content is", key=True)
