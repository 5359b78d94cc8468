"""What the user asked for and what was made of it, kept: one SQLite file with a row for each container and each volume.

What is happening to a container is not here but in its directory (runner.state). A transaction covers every check with the change it permits.
"""

import os

from runner.container import Container, ContainerSpec, File, Mount
from runner.endpoint import Endpoint, PortMapping
from runner.form import from_bytes, kinds, to_bytes
from runner.idrange import IdRange
from runner.ledger import Ledger
from runner.upkeep import Healthcheck, LogOptions, Restart
from runner.volume import Volume
from sandbox.spec import Device, Limits, Rlimit
from store.images import Runtime

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

GONE = ".gone"                           # a container whose directory is ID.gone is removed; a row it has there was no room to delete
_KINDS = kinds(Container, ContainerSpec, IdRange, File, Mount, Endpoint, PortMapping, Healthcheck, LogOptions, Restart, Volume, Device, Limits,
               Rlimit, Runtime)
_SCHEMA = (
    "CREATE TABLE container (id TEXT PRIMARY KEY, name TEXT NOT NULL UNIQUE, created INTEGER NOT NULL, value BLOB NOT NULL) WITHOUT ROWID",
    "CREATE TABLE volume (name TEXT PRIMARY KEY, created INTEGER NOT NULL, value BLOB NOT NULL) WITHOUT ROWID",
    "CREATE TABLE use (volume TEXT NOT NULL, container TEXT NOT NULL, PRIMARY KEY (volume, container)) WITHOUT ROWID",
    "CREATE INDEX use_container ON use (container)")


class Records(Ledger):
    """`with records:` makes a transaction, as of Index."""

    _statements = _SCHEMA

    def __init__(self, root: str) -> None:
        super().__init__(f"{root}/runner.db")
        self._directory = f"{root}/containers"

    # ------------------------------------------------------------ containers
    def add(self, container: Container) -> None:
        """The caller has made sure, in this transaction, that neither ID nor name is taken."""
        self._free(container)
        self.run("INSERT INTO container VALUES (?, ?, ?, ?)", container.id, container.name, container.created, to_bytes(container))

    def replace(self, container: Container) -> None:
        self._free(container)
        self.run("UPDATE container SET name = ?, value = ? WHERE id = ?", container.name, to_bytes(container), container.id)

    def remove(self, id: str) -> bool:
        """Whether it was there. Its volumes are free afterwards."""
        self.run("DELETE FROM use WHERE container = ?", id)
        return bool(self.run("DELETE FROM container WHERE id = ?", id))

    def _free(self, container: Container) -> None:
        """Of its name, what is removed has no use any more."""
        for other, in self.query("SELECT id FROM container WHERE name = ? AND id != ?", container.name, container.id):
            if self._is_gone(other):
                self.remove(other)

    def container(self, id: str) -> "Container | None":
        return self._container(self.one("SELECT value FROM container WHERE id = ?", id))

    def named(self, name: str) -> "Container | None":
        return self._container(self.one("SELECT value FROM container WHERE name = ?", name))

    def beginning(self, prefix: str) -> "tuple[str, ...]":
        """IDs that begin with these hex digits, at most nine."""
        return self._there(self.query("SELECT id FROM container WHERE id >= ? AND id < ? LIMIT 9", prefix, prefix + "g"))

    def ids(self) -> "set[str]":
        """Of all containers."""
        return set(self._there(self.query("SELECT id FROM container")))

    def containers(self) -> "tuple[Container, ...]":
        """All, newest first."""
        rows = self.query("SELECT id, value FROM container ORDER BY created DESC, id")
        there = set(self._there(rows))
        return tuple(from_bytes(value, _KINDS) for id, value in rows if id in there)

    def _container(self, row: "Any") -> "Container | None":
        found: "Container | None" = from_bytes(row[0], _KINDS) if row else None
        return None if found and self._is_gone(found.id) else found

    def _is_gone(self, id: str) -> bool:
        return os.access(f"{self._directory}/{id}{GONE}", os.F_OK)

    def _there(self, rows: "list[Any]") -> "tuple[str, ...]":
        """The IDs that rows begin with, without those of containers that are gone."""
        try:
            names = os.listdir(self._directory)
        except FileNotFoundError:
            names = []
        gone = {name.removesuffix(GONE) for name in names if name.endswith(GONE)}
        return tuple(row[0] for row in rows if row[0] not in gone)

    # ------------------------------------------------------------ volumes
    def add_volume(self, volume: Volume) -> None:
        """The caller has made sure, in this transaction, that the name is not taken."""
        self.run("INSERT INTO volume VALUES (?, ?, ?)", volume.name, volume.created, to_bytes(volume))

    def volume(self, name: str) -> "Volume | None":
        row = self.one("SELECT value FROM volume WHERE name = ?", name)
        return from_bytes(row[0], _KINDS) if row else None

    def volumes(self) -> "tuple[Volume, ...]":
        """All, by name."""
        return tuple(from_bytes(row[0], _KINDS) for row in self.query("SELECT value FROM volume ORDER BY name"))

    def remove_volume(self, name: str) -> bool:
        """Whether it was there."""
        return bool(self.run("DELETE FROM volume WHERE name = ?", name))

    def use_volume(self, name: str, container: str) -> None:
        self.run("INSERT OR IGNORE INTO use VALUES (?, ?)", name, container)

    def users(self, volume: str) -> "tuple[str, ...]":
        """IDs of containers that have it mounted or would have it, sorted."""
        return self._there(self.query("SELECT container FROM use WHERE volume = ? ORDER BY container", volume))

    def used_by(self, container: str) -> "tuple[str, ...]":
        return tuple(row[0] for row in self.query("SELECT volume FROM use WHERE container = ? ORDER BY volume", container))
