"""Containers: made, started, stopped, removed, found. In: a store, a zygote, whoever keeps the networks; out: what happens to containers.

Owns nothing that lives: a container is a record (runner.records), a directory (runner.state) and, while it runs, a shim that this talks to. Any
number of these work on one root at once. Read `create`, then runner.launch for what a start is, then `remove`.
"""

import os
import time
from functools import partial

from runner import idrange
from runner.contact import Contact, reach
from runner.container import Container, ContainerSpec, is_on_networks, process_of
from runner.errors import Ambiguous, Conflict, InvalidName, InvalidOption, Missing, NameInUse, ShimLost
from runner.records import Records
from runner.signals import parse_signal
from runner.state import Place, State, boot_id, settled
from runner.upkeep import CREATED, PAUSED, REMOVING
from store.reserve import FULL

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from runner.endpoint import Network
    from runner.upkeep import Restart
    from runner.volumes import Volumes
    from sandbox.client import Client
    from sandbox.spec import Limits
    from store.store import Store

_HEX = "0123456789abcdef"
_SIGKILL = 9


class Engine:
    """connect: the user's zygote, with runner.shim as its shim. network: gives who keeps the networks; None: there are only `none` and `host`.

    note: takes what a user should know that no answer says.
    """

    def __init__(self, store: "Store", connect: "Callable[[], Client]", network: "Callable[[], Network] | None" = None) -> None:
        self.store = store
        self.connect = connect
        self._make_network = network
        self._network: "Network | None" = None
        self.records = Records(store.root.path)
        self._volumes: "Volumes | None" = None
        self.note: "Callable[[str], None]" = lambda text: None

    @property
    def network(self) -> "Network | None":
        if self._network is None and self._make_network:
            self._network = self._make_network()
        return self._network

    @property
    def volumes(self) -> "Volumes":
        if self._volumes is None:
            from runner.volumes import Volumes

            self._volumes = Volumes(self.store.root.path, self.records, partial(self.store.events.emit, "volume"))
        return self._volumes

    def close(self) -> None:
        self.records.close()

    def __enter__(self) -> "Engine":
        return self

    def __exit__(self, *what: object) -> None:
        self.close()

    # ---------------------------------------------------------------- finding
    def find(self, name: str) -> Container:
        """By name, ID, or the beginning of an ID. Raises Missing, Ambiguous."""
        name = name.removeprefix("/")
        found = self.records.named(name)
        if found is None and name and not name.strip(_HEX):
            ids = self.records.beginning(name)
            if len(ids) > 1:
                raise Ambiguous("container", name, ids)
            found = self.records.container(ids[0]) if ids else None
        if found is None:
            raise Missing("container", name)
        return found

    def place(self, id: str) -> Place:
        return Place(self.store.root.path, self.store.root.run, id)

    def require_layer(self, container: Container) -> None:
        """Raises Conflict if what it has written is no layer, as of one that ran without namespaces."""
        if os.path.exists(self.place(container.id).tree):
            raise Conflict("container", container.name, "has run without namespaces: its files are a copy, of which nobody knows what has changed")

    def state(self, container: Container) -> State:
        """What is happening to it now. A container whose shim was killed, or that the machine took down, is settled first."""
        place = self.place(container.id)
        state, lives = place.seen()
        return self._settle(container, place) if state.is_running and not lives else state

    def _settle(self, container: Container, place: Place) -> State:
        lock = place.lock(wait=False)
        if lock < 0:                                      # somebody has just begun to start it, or settles it
            return place.read()
        try:
            reclaim(container.id, place)
            before = place.read()
            state = settled(before, alive=False, now=time.time_ns(), boot=boot_id())
            if state != before:
                try:
                    place.write(state)
                except OSError as error:
                    if error.errno not in FULL:           # it is found out again by whoever asks next
                        raise
                self._emit(container, "die", exitCode=str(state.exit_code), execDuration="0")
                if before.boot == boot_id():
                    self.note(f"container `{container.name}` has ended: {state.error}")
                self.leave_networks(container)
        finally:
            os.close(lock)
        if container.spec.auto_remove:
            self.remove(container, volumes=True)
        return state

    def leave_networks(self, container: Container) -> None:
        """Free what it has of the networks. Idempotent."""
        if is_on_networks(container.spec) and self.network is not None:
            self.network.detach(container.id)

    def _emit(self, container: Container, action: str, **attributes: str) -> None:
        try:
            self.store.events.emit("container", action, container.id, {**event_attributes(container), **attributes})
        except OSError as error:
            if error.errno not in FULL:                   # what makes room goes on, with an event less
                raise

    # ---------------------------------------------------------------- making
    def create(self, spec: ContainerSpec, image_id: str = "") -> Container:
        """A new container, not started. image_id: what `spec.image` means, where that is more than a name in the store.

        Raises ReferenceMissing for an image that is not here, NameInUse, InvalidName, InvalidOption.
        """
        from runner.creation import complete, used_images

        image = self.store.images.require(image_id or spec.image)
        runtime = self.store.images.runtime(image.id)
        id, name, spec = complete(self, spec, runtime)
        container = Container(id, name, time.time_ns(), image.id, spec, runtime)
        process = process_of(spec, runtime)
        if not process.argv:
            raise InvalidOption("command", "", "is missing: none was given, and the image has none")
        parse_signal(process.stop_signal)
        # what has no record is debris of a killed command, unless somebody holds its lock: so the record comes last
        lock = self.place(id).make(runtime.lowerdirs[0] if runtime.lowerdirs else "")
        try:
            for one in (image.id, *used_images(self, spec)):
                self.store.images.hold(one, owner_of(id))
            container = self._record(container)
        except BaseException:
            from runner.removal import forget

            forget(self, container)
            raise
        finally:
            os.close(lock)
        self._emit(container, "create")
        return container

    def _record(self, container: Container) -> Container:
        spec = container.spec
        with self.records:
            taken = self.records.named(container.name)
            if taken is not None:
                raise NameInUse("container", container.name, taken.id)
            for mount in spec.mounts:
                if mount.kind == "volume":
                    self.volumes.create(mount.source, driver=mount.driver or spec.volume_driver or "local", options=mount.driver_options,
                                        labels=mount.labels, anonymous=mount.anonymous)
                    self.records.use_volume(mount.source, container.id)
            if spec.userns_mode not in idrange.HOST:
                container = container._replace(ids=self._allot(spec.userns_mode))
            self.records.add(container)
        return container

    def _allot(self, mode: str) -> "idrange.IdRange":
        from runner.network import root_id

        others = (one.ids for one in self.records.containers() if one.ids)
        return idrange.allot(mode, others, idrange.read("/etc/subuid"), idrange.read("/etc/subgid"), int(root_id(self.store.root.path), 16))

    def rename(self, container: Container, name: str) -> Container:
        name = self.checked_name(name)
        with self.records:
            taken = self.records.named(name)
            if taken is not None and taken.id != container.id:
                raise NameInUse("container", name, taken.id)
            renamed = container._replace(name=name)
            self.records.replace(renamed)
        contact = reach(self.place(container.id), name)
        if contact:
            with contact:
                contact.ask("rename", name)
        self._emit(renamed, "rename", oldName=f"/{container.name}")
        return renamed

    @staticmethod
    def checked_name(name: str) -> str:
        from runner.volume import is_name

        name = name.removeprefix("/")
        if not is_name(name):
            raise InvalidName("container", name)
        return name

    # ---------------------------------------------------------------- running
    def start(self, container: Container, *, attached: bool = False, reaper: bool = False,
              console_size: "tuple[int, int]" = (0, 0)) -> "Contact | None":
        """Start it; the conversation with its shim, which is the caller's to close. None: it runs already.

        attached: what comes next on it is ("attached", ...), see runner.attachment. reaper: the caller will remove the container when it has ended.
        Raises SandboxError, RunError; the container is then as before.
        """
        contact = self.begin_start(container, attached=attached, reaper=reaper, console_size=console_size)
        return self.finish_start(container, contact) if contact else None

    def begin_start(self, container: Container, *, attached: bool = False, reaper: bool = False,
                    console_size: "tuple[int, int]" = (0, 0)) -> "Contact | None":
        """As `start`, but its shim has not answered yet: wait until the connection is readable, then call `finish_start`."""
        from runner.launch import begin

        lock = self.idle_lock(container)
        if lock < 0:
            return None
        try:
            return begin(self, container, lock, attached=attached, reaper=reaper, console_size=console_size)
        finally:
            os.close(lock)

    def idle_lock(self, container: Container) -> int:
        """The lock of a container that does not run, held; -1 if it runs. Waits for one that just starts, ends, or is copied from."""
        place, runs = self.place(container.id), False
        while (lock := place.lock(wait=False)) < 0:
            state, lives = place.seen()
            if runs or (lives and state.is_running):
                return -1
            contact = reach(place, container.name)
            if contact:
                with contact:
                    try:
                        contact.ask("started")
                        runs = True                       # even if there was no room to write that down
                    except ShimLost:
                        pass                              # it has not come to that, or it has ended
        try:
            reclaim(container.id, place)
        except BaseException:
            os.close(lock)
            raise
        return lock

    def finish_start(self, container: Container, contact: Contact) -> Contact:
        """The connection, once the container runs. Raises what its shim says."""
        from runner.launch import finish

        return finish(self, container, contact)

    def stop(self, container: Container, *, signal: str = "", timeout_s: "float | None" = None) -> bool:
        """Ask it to end, and after the timeout make it; returns when it has. Negative: wait for ever. False: it did not run."""
        contact = self.begin_stop(container, signal=signal, timeout_s=timeout_s)
        if contact is None:
            return False
        self.finish_stop(container, contact)
        return True

    def begin_stop(self, container: Container, *, signal: str = "", timeout_s: "float | None" = None) -> "Contact | None":
        """As `stop`, but it has not ended yet: wait until the connection is readable, then call `finish_stop`. None: it did not run."""
        process = process_of(container.spec, container.runtime)
        number = parse_signal(signal or process.stop_signal)
        contact = self._reach(container)
        if contact is None:
            return None
        try:
            contact.tell("stop", number, float(process.stop_timeout) if timeout_s is None else timeout_s)
        except ShimLost:
            pass                                          # it ends in this moment: its connection says so
        return contact

    def finish_stop(self, container: Container, contact: Contact) -> None:
        with contact:
            try:
                contact.answer()
            except ShimLost:
                pass
        self._emit(container, "stop")

    def _reach(self, container: Container) -> "Contact | None":
        self.state(container)
        return reach(self.place(container.id), container.name)

    def running(self, container: Container) -> Contact:
        """A conversation with the shim of a container that runs; raises Conflict if it does not."""
        contact = self._reach(container)
        if contact is None:
            raise Conflict("container", container.name, "is not running")
        return contact

    def kill(self, container: Container, signal: str = "KILL") -> None:
        number = parse_signal(signal)
        with self.running(container) as contact:
            contact.ask("kill", number)

    def restart(self, container: Container, *, signal: str = "", timeout_s: "float | None" = None) -> None:
        """Stop it if it runs, and start it."""
        self.stop(container, signal=signal, timeout_s=timeout_s)
        contact = self.start(container)
        if contact:
            contact.close()
        self._emit(container, "restart")

    def pause(self, container: Container) -> None:
        with self.running(container) as contact:
            if self.place(container.id).read().status == PAUSED:
                raise Conflict("container", container.name, "is paused already")
            contact.ask("pause")

    def unpause(self, container: Container) -> None:
        with self.running(container) as contact:
            if self.place(container.id).read().status != PAUSED:
                raise Conflict("container", container.name, "is not paused")
            contact.ask("unpause")

    def update(self, container: Container, *, limits: "Limits | None" = None, restart: "Restart | None" = None, nano_cpus: int = 0) -> Container:
        """Change limits (those of `limits` that say something) and the restart policy, now and for later starts."""
        from runner.form import to_plain
        from runner.limits import checked, merge

        spec = container.spec
        if limits is not None:
            spec = spec._replace(limits=checked(merge(spec.limits, limits), nano_cpus), nano_cpus=nano_cpus or spec.nano_cpus)
        if restart is not None:
            if spec.auto_remove and restart.name != "no":
                raise Conflict("container", container.name, "is removed when it ends, so it cannot have a restart policy")
            spec = spec._replace(restart=restart)
        changed = container._replace(spec=spec)
        contact = self._reach(container)
        if contact:
            with contact:
                contact.ask("update", None if limits is None else to_plain(spec.limits), None if restart is None else to_plain(restart))
        self.records.replace(changed)
        self._emit(changed, "update")
        return changed

    def wait(self, container: Container, condition: str = "not-running") -> "tuple[int, str]":
        """(exit code, error) once the condition holds: "not-running", "next-exit" or "removed"."""
        from runner.waiting import wait

        return wait(self, container, condition)

    # ---------------------------------------------------------------- removing
    def remove(self, container: Container, *, force: bool = False, volumes: bool = False, logs_to: "Container | None" = None,
               discard: "Callable[[str], object] | None" = None) -> None:
        """Remove it, and its anonymous volumes if so wanted. force: kill it first if it runs. logs_to: that container goes on with its log.

        discard: sees to it that `discard` is called with the ID, which may take as long as all the rest; None: it is, at once.
        Raises Conflict if it runs, Missing if somebody else has removed it.
        """
        from runner.removal import forget

        place = self.place(container.id)
        lock = self._stopped(container, place, force=force)
        try:
            if logs_to is not None:
                self._hand_logs(place, self.place(logs_to.id))
            self.leave_networks(container)
            if not forget(self, container, volumes=volumes, discard=discard):
                raise Missing("container", container.name)
        finally:
            if lock >= 0:
                os.close(lock)
        self._emit(container, "destroy")

    def _stopped(self, container: Container, place: Place, *, force: bool) -> int:
        """The lock of the container, which does not run then; -1 if it has no directory."""
        try:
            while (lock := self.idle_lock(container)) < 0:
                if not force:
                    raise Conflict("container", container.name, f"is {place.read().status}", "stop it first, or use --force")
                contact = reach(place, container.name)
                if contact:
                    with contact:
                        try:
                            contact.ask("stop", _SIGKILL, 0.0)
                        except ShimLost:
                            pass
        except FileNotFoundError:
            return -1
        return lock

    def discard(self, id: str) -> None:
        """Remove the directory of a container that has no record."""
        from runner import removal

        removal.discard(self, id)

    @staticmethod
    def _hand_logs(old: Place, new: Place) -> None:
        """The files of the old log become the first ones of the new container's, which has none yet."""
        os.makedirs(new.log, 0o700, exist_ok=True)
        if not os.listdir(new.log) and os.path.isdir(old.log):
            for name in os.listdir(old.log):
                os.rename(f"{old.log}/{name}", f"{new.log}/{name}")

    def sweep(self) -> int:
        """Remove what containers have left behind whose removal was interrupted; how many there were."""
        from runner import removal

        return removal.sweep(self)


def reclaim(id: str, place: Place) -> None:
    """For the lock's holder: what a container without namespaces has left that was killed with its shim. Raises SandboxError, OSError."""
    if os.path.exists(place.tree) or os.path.exists(f"{place.tree}.new"):
        from sandbox.enclosed import recover
        from sandbox.marks import mark_of

        recover(place.tree, mark_of(id))


def owner_of(id: str) -> str:
    """How the store knows that a container needs its image."""
    return f"container {id}"


def event_attributes(container: Container) -> "dict[str, str]":
    process = process_of(container.spec, container.runtime)
    return {**dict(process.labels), "image": container.spec.image, "name": container.name}


__all__ = ["CREATED", "REMOVING", "Engine", "event_attributes", "owner_of"]
