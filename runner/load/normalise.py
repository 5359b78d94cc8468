"""What a whole project implies, said in its tree: the default network, names, dependencies, variables taken from the environment."""

from runner.load.mount import clean
from runner.load.tree import Map, Seq

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from runner.load.tree import Mark

SHARED = ("network_mode", "ipc", "pid", "uts", "cgroup")


def normalise(root: Map, name: str, environment: "Mapping[str, str]") -> None:
    """Say, in place, what the canonical tree of project `name` implies. Idempotent."""
    root["name"] = name
    services = root.get("services") or {}
    for service in services.values():
        _networks(service)
        _service(service, environment)
    if any("default" in (service.get("networks") or ()) for service in services.values()) and "default" not in (root.get("networks") or ()):
        if root.get("networks") is None:
            root["networks"] = Map()
        root["networks"]["default"] = None
    for kind in ("networks", "volumes", "configs", "secrets"):
        for key, resource in (root.get(kind) or {}).items():
            if resource is None:
                resource = root[kind][key] = Map()
            if resource.get("name") is None:
                resource["name"] = key if resource.get("external") in (True, "true") else f"{name}_{key}"


def volumes_of_one_letter(root: Map) -> None:
    """Undo, in place, what compose makes of `x:/data` and `x:/data:ro`: there is no drive here, and a volume called `x`."""
    declared = root.get("volumes") or {}
    for service in (root.get("services") or {}).values():
        for one in service.get("volumes") or ():
            if one.__class__ is not Map:
                continue
            word = one.get("source") or one.get("target") or ""
            options = str(one.get("target")).split(",") if one.get("source") else []
            if word[1:3] != ":/" or word[0] not in declared or not all(option in ("ro", "rw", "nocopy", "z", "Z") for option in options):
                continue
            one["type"], one["source"], one["target"] = "volume", word[0], clean(word[2:])
            one.pop("bind", None)
            if "ro" in options:
                one["read_only"] = True
            if "nocopy" in options:
                one["volume"] = Map({"nocopy": True})


def _networks(service: Map) -> None:
    if "provider" not in service and "network_mode" not in service and not service.get("networks"):
        service.put("networks", Map({"default": None}), service.marks.get("networks"))


def _service(service: Map, environment: "Mapping[str, str]") -> None:
    if service.get("pull_policy") == "if_not_present":
        service["pull_policy"] = "missing"
    build = service.get("build")
    if build.__class__ is Map:
        if "dockerfile_inline" not in build:
            build.setdefault("dockerfile", "Dockerfile")
        if "args" in build:
            build["args"] = _resolved(build["args"], environment, keep=False)
    if "environment" in service:
        service["environment"] = _resolved(service["environment"], environment, keep=True)
    for mount in service.get("volumes") or ():
        if mount.__class__ is Map and mount.get("target"):
            mount["target"] = clean(mount["target"])
    implied = list(_implied(service))
    if implied:
        wanted = service.get("depends_on")
        if wanted.__class__ is not Map:
            wanted = service["depends_on"] = Map()
        for other, restart, mark in implied:
            if other not in wanted:
                dependency = Map({"condition": "service_started", "required": True})
                if restart:
                    dependency["restart"] = True
                wanted.put(other, dependency, mark)


def _implied(service: Map) -> "list[tuple[str, bool, Mark | None]]":
    """The services that attributes refer to, and whether this one restarts with them."""
    found: list[tuple[str, bool, Mark | None]] = []
    links = service.get("links") or Seq()
    found += [(link.partition(":")[0] if link.count(":") == 1 else link, True, mark) for link, mark in zip(links, links.marks)]
    for key in SHARED:
        value = service.get(key)
        if value.__class__ is str and value.startswith("service:"):
            found.append((value.removeprefix("service:"), True, service.marks.get(key)))
    sources = service.get("volumes_from") or Seq()
    found += [(one.partition(":")[0], False, mark) for one, mark in zip(sources, sources.marks) if not one.startswith("container:")]
    return found


def _resolved(values: "Any", environment: "Mapping[str, str]", keep: bool) -> "Any":
    """Variables that have no value get the environment's; those that it does not have either are dropped or kept without one."""
    if values.__class__ is Map:
        found = Map((), values.marks)
        for key, value in values.items():
            value = environment.get(key) if value is None else value
            if value is not None or keep:
                found[key] = value
        return found
    kept = Seq()
    for item, mark in zip(values, values.marks):
        if item.__class__ is str and "=" not in item:
            if item in environment:
                item = f"{item}={environment[item]}"
            elif not keep:
                continue
        kept.add(item, mark)
    return kept
