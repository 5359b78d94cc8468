"""Removing in one go what is not in use: containers that do not run, volumes that nobody has. Filters as docker's prune commands have them."""

from kernel.value import Value
from runner.container import process_of
from runner.errors import Conflict, InvalidOption, Missing
from runner.listing import label_matches
from runner.moment import parse_moment
from runner.usage import sizes, tree_size

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from runner.engine import Engine


class Filters(Value):
    """until: what is not older than this (nanoseconds) stays, 0: no bound. labels, without: `K` or `K=V` that it must or must not have."""

    until: int = 0
    labels: "tuple[str, ...]" = ()
    without: "tuple[str, ...]" = ()
    everything: bool = False

    def match(self, created: int, labels: "Mapping[str, str]") -> bool:
        return (not self.until or created < self.until) and all(label_matches(labels, word) for word in self.labels) and not any(
            label_matches(labels, word) for word in self.without)


def parse_filters(words: "list[str]") -> Filters:
    """`until=TIME`, `label=K[=V]`, `label!=K[=V]`, `all=true`. Raises InvalidOption."""
    until, labels, without, everything = 0, [], [], False
    for word in words:
        key, equals, value = word.partition("=")
        if key == "until" and value:
            until = parse_moment(value)
        elif key == "label" and value:
            labels.append(value)
        elif key == "label!" and value:
            without.append(value)
        elif key == "all" and equals:
            everything = value.lower() in ("true", "1")
        else:
            raise InvalidOption("filter", word, "is none of `until=TIME`, `label=K[=V]`, `label!=K[=V]`")
    return Filters(until, tuple(labels), tuple(without), everything)


def prune_containers(engine: "Engine", filters: Filters) -> "tuple[list[str], int]":
    """(IDs of containers that were removed, bytes that are free again)."""
    removed, freed = [], 0
    engine.sweep()
    for container in engine.records.containers():
        if engine.state(container).is_running or not filters.match(container.created, dict(process_of(container.spec, container.runtime).labels)):
            continue
        size = sizes(engine, container)[0]
        try:
            engine.remove(container)
        except (Conflict, Missing):
            continue                                      # started, or removed by somebody else, just now
        removed.append(container.id)
        freed += size
    return removed, freed


def prune_volumes(engine: "Engine", filters: Filters) -> "tuple[list[str], int]":
    """(names of volumes that were removed, bytes that are free again): anonymous ones, or with `everything` all that nobody has."""
    removed, freed = [], 0
    for volume in engine.volumes.unused(everything=filters.everything):
        if not filters.match(volume.created, dict(volume.labels)):
            continue
        size = tree_size(engine.volumes.path(volume.name))
        try:
            engine.volumes.remove(volume.name)
        except (Conflict, Missing):
            continue
        removed.append(volume.name)
        freed += size
    return removed, freed
