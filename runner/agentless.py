"""Networks where none can be made: records that say which containers look for each other. In the place of the agent's client (runner.agent.client).

Every container has the machine's network then (runner.confining), so nothing is attached.
"""

import os
import time

from runner.agent.errors import InvalidNetwork, NetworkExists, NetworkInUse, NetworkPredefined
from runner.agent.records import PREDEFINED, Networks, new_id
from runner.network import NetworkRecord, NetworkSpec, check
from runner.records import Records
from runner.state import Place
from store.events import Events

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

    from runner.endpoint import Attachment, Connection, Endpoint, Membership


class Agentless:
    """root: the store's directory; run: the user's run directory."""

    def __init__(self, root: str, run: str) -> None:
        self._root, self._run = root, run
        self.notices: list[str] = []                      # as the agent's client has them

    def attach(self, membership: "Membership", namespace: int = -1) -> "Attachment":
        self._refuse(membership.name)

    def detach(self, container: str) -> None:
        """There is nothing to let go of."""

    def connect(self, container: str, endpoint: "Endpoint", namespace: int = -1) -> "Connection":
        self._refuse(endpoint.network)

    def disconnect(self, container: str, network: str, namespace: int = -1) -> None:
        self._refuse(network)

    @staticmethod
    def _refuse(name: str) -> "NoReturn":
        raise InvalidNetwork(name, "cannot be joined or left: without namespaces containers share this machine's network")

    def is_network(self, name: str) -> bool:
        with _records(self._root) as records:
            return records.networks.find(name) is not None

    def create(self, spec: NetworkSpec) -> NetworkRecord:
        """Raises InvalidNetwork, NetworkExists, NetworkPredefined."""
        if spec.name in PREDEFINED:
            raise NetworkPredefined(spec.name, "create")
        spec = check(spec)
        with _records(self._root) as records, records.networks:
            if records.networks.named(spec.name):
                raise NetworkExists(spec.name)
            record = NetworkRecord(new_id(), time.time_ns(), "", False, spec)
            records.networks.add(record)
        self._emit("create", record)
        return record

    def remove(self, word: str) -> NetworkRecord:
        """Raises NetworkMissing, NetworkInUse, NetworkPredefined."""
        with _records(self._root) as records:
            record = records.networks.require(word)
            if record.name in PREDEFINED:
                raise NetworkPredefined(record.name, "remove")
            if users := self._users(record):
                raise NetworkInUse(record.name, users)
            records.networks.remove(record.id)
        self._emit("destroy", record)
        return record

    def _users(self, record: NetworkRecord) -> "tuple[str, ...]":
        """Names of the containers on it that run."""
        records = Records(self._root)
        try:
            found = [one for one in records.containers() if any(end.network in (record.name, record.id) for end in one.spec.endpoints)]
        finally:
            records.close()
        return tuple(one.name for one in found if (place := Place(self._root, self._run, one.id)).is_locked() and place.read().is_running)

    def _emit(self, action: str, record: NetworkRecord) -> None:
        Events(self._root).emit("network", action, record.id, {"name": record.name, "type": record.spec.driver})

    def restore(self) -> None:
        """Nobody is missed."""

    def close(self) -> None:
        """Nothing is kept open."""


class _records:                                           # a context manager, used as a function
    def __init__(self, root: str) -> None:
        self.networks = Networks(root)

    def __enter__(self) -> "_records":
        return self

    def __exit__(self, *what: object) -> None:
        self.networks.close()


def is_needed() -> bool:
    """Whether this process is root, and may make no namespaces: then no agent can make networks either."""
    from sandbox.errors import SandboxError
    from sandbox.isolation import CHROOT, of_containers

    if os.geteuid():
        return False
    try:
        return of_containers().kind == CHROOT
    except SandboxError:
        return False                                      # the agent will say so
