"""Lists whose entries have a key: of entries with the same key the last one counts, in the place of the first."""

from runner.load import mount
from runner.load.scalar import text_of
from runner.load.tree import Map, Seq

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, TypeAlias

    Key: TypeAlias = Callable[[Any], str | None]          # None: the entry has no key, it stays


def enforce(root: Map) -> None:
    """Drop, in place, the entries that later entries of their list replace. Idempotent."""
    _walk(root, RULES)


def _walk(node: "Any", rules: "dict[str, Any]") -> None:
    if node.__class__ is not Map:
        return
    for key, rule in rules.items():
        if key == "*":
            for child in node.values():
                _walk(child, rule)
        elif key in node:
            if rule.__class__ is dict:
                _walk(node[key], rule)
            elif node[key].__class__ is Seq:
                _unique(node[key], rule)


def _unique(node: Seq, key_of: "Key") -> None:
    kept = Seq()
    places: dict[str, int] = {}
    for item, mark in zip(node, node.marks):
        key = key_of(item)
        if key in places:
            kept[places[key]], kept.marks[places[key]] = item, mark
        else:
            if key is not None:
                places[key] = len(kept)
            kept.add(item, mark)
    if len(kept) < len(node):
        node[:], node.marks = kept, kept.marks


def _word(item: "Any") -> "str | None":
    """`key=value` and `value` by what is before `=`."""
    return item.partition("=")[0] if item.__class__ is str else None


def _expose(item: "Any") -> "str | None":
    return text_of(item) if item.__class__ not in (Map, Seq) else None


def _env_file(item: "Any") -> "str | None":
    return item.get("path") if item.__class__ is Map else item if item.__class__ is str else None


def _port(item: "Any") -> "str | None":
    if item.__class__ is not Map:
        return text_of(item) if item.__class__ is not Seq else None
    host, protocol = item.get("host_ip", "0.0.0.0"), item.get("protocol", "tcp")
    return f"{host}:{text_of(item.get('published'))}:{item.get('target')}/{protocol}"


def _volume(item: "Any") -> "str | None":
    if item.__class__ is Map:
        return item.get("target")
    try:
        return str(mount.parse(item)["target"]) if item.__class__ is str else None
    except ValueError:
        return None


def _device(item: "Any") -> "str | None":
    if item.__class__ is Map:
        return item.get("target") or item.get("source")
    source, colon, target = item.partition(":") if item.__class__ is str else ("", "", "")
    return target.partition(":")[0] if colon else source


def _mounted(folder: str) -> "Key":
    def key(item: "Any") -> "str | None":
        if item.__class__ is Map:
            return item.get("target") or f"{folder}/{item.get('source')}"
        return f"{folder}/{item}" if item.__class__ is str else None
    return key


RULES: "dict[str, Any]" = {
    "services": {"*": {
        "annotations": _word, "cap_add": _word, "cap_drop": _word, "configs": _mounted(""), "deploy": {"labels": _word}, "devices": _device,
        "build": {"args": _word, "additional_contexts": _word, "labels": _word, "tags": _word}, "dns": _word, "dns_opt": _word,
        "dns_search": _word, "env_file": _env_file, "environment": _word, "expose": _expose, "labels": _word, "links": _word,
        "networks": {"*": {"aliases": _word, "link_local_ips": _word}}, "ports": _port, "profiles": _word,
        "secrets": _mounted("/run/secrets"), "sysctls": _word, "tmpfs": _word, "volumes": _volume,
    }},
    "networks": {"*": {"labels": _word}},
}
