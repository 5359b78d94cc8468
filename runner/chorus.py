"""What many containers write, as lines, as it comes; across their restarts, and on in those that take their place. Nothing is lost or told twice.

`join` a container, then let the reactor turn; `on_line` and `on_exit` are called. `follow` joins those that start later.
"""

from runner import labels
from runner.contact import reach
from runner.errors import ShimLost
from runner.logreader import Lines
from runner.stream import Stream

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from runner.contact import Contact
    from runner.container import Container
    from runner.engine import Engine
    from runner.logreader import Line
    from runner.reactor import Reactor
    from runner.stream import Exit

    OnLine = Callable[[Container, Line], None]
    OnExit = Callable[[Container, Exit], None]
    Spot = tuple[int, int]                                # (generation, offset) in a log

_START = b'"action":"start"'


class _Voice:
    """One container that runs. quiet: only its end is told."""

    __slots__ = ("container", "cutter", "quiet", "stream")

    def __init__(self, container: "Container", stream: Stream, cutter: Lines, *, quiet: bool) -> None:
        self.container, self.stream, self.cutter, self.quiet = container, stream, cutter, quiet


class Chorus:
    def __init__(self, engine: "Engine", reactor: "Reactor", on_line: "OnLine", on_exit: "OnExit") -> None:
        self._engine = engine
        self._reactor = reactor
        self._on_line = on_line
        self._on_exit = on_exit
        self._voices: dict[str, _Voice] = {}
        self._spots: "dict[tuple[str, str], Spot]" = {}   # (service, number) -> what has been told of it
        self._begun: dict[tuple[str, str], Lines] = {}    # (service, number) -> the beginning of its last line
        self._wants: "Callable[[Container], bool | None]" = lambda container: None

    def __len__(self) -> int:
        """How many run."""
        return len(self._voices)

    def has(self, id: str) -> bool:
        return id in self._voices

    def note(self, container: "Container", spot: "Spot", cutter: Lines) -> None:
        """What of its log somebody else has told: `join` goes on from there."""
        self._spots[_part(container)] = spot
        self._begun[_part(container)] = cutter

    def join(self, container: "Container", contact: "Contact | None" = None, *, quiet: bool = False, spot: "Spot | None" = None) -> bool:
        """From what has been told of it on, else from `spot`, else from now; False if it does not run.

        contact: the one it was started with, attached; taken over.
        """
        place = self._engine.place(container.id)
        if contact is None:
            contact = reach(place, container.name)
            if contact is None:
                return False
            try:
                contact.tell("attach", False)
            except ShimLost:
                pass                                      # said by the answer that does not come
        message, _ = contact.hear()
        if message is None or message[0] != "attached":
            contact.close()
            return False
        _, generation, offset, tty = message
        part = _part(container)
        stream = Stream(contact, place.log, self._spots.get(part, spot or (generation, offset)), tty, -1)
        self._voices[container.id] = _Voice(container, stream, self._begun.pop(part, Lines()), quiet=quiet)
        self._reactor.watch(stream.fileno(), lambda: self._hear(container.id))
        self._read(self._voices[container.id])            # what is there already; and asks to be told of more
        return True

    def _hear(self, id: str) -> None:
        voice = self._voices[id]
        ended = voice.stream.hear()
        self._read(voice)
        if ended is None:
            return
        for line in voice.cutter.rest():
            self._tell(voice, line)
        if not ended.restarting:
            self._leave(voice)
        self._on_exit(voice.container, ended)

    def _read(self, voice: _Voice) -> None:
        for record in voice.stream.records():
            for line in voice.cutter.cut(record):
                self._tell(voice, line)

    def _tell(self, voice: _Voice, line: "Line") -> None:
        if not voice.quiet:
            self._on_line(voice.container, line)

    def _leave(self, voice: _Voice) -> None:
        self._reactor.forget(voice.stream.fileno())
        self._spots[_part(voice.container)] = voice.stream.spot
        voice.stream.close()
        del self._voices[voice.container.id]

    # ---------------------------------------------------------------- those that start later
    def follow(self, wants: "Callable[[Container], bool | None]") -> None:
        """Join every container that starts from now on and that is wanted: False, quietly; None, not at all."""
        self._wants = wants
        self._reactor.listen(self._on_event)

    def unfollow(self) -> None:
        self._reactor.unlisten(self._on_event)

    def _on_event(self, line: bytes) -> None:
        if _START not in line:
            return
        id = line.partition(b'"id":"')[2][:64].decode(errors="replace")
        container = self._engine.records.container(id)
        wanted = self._wants(container) if container is not None and id not in self._voices else None
        if container is not None and wanted is not None:
            self.join(container, quiet=not wanted, spot=(0, 0))

    def close(self) -> None:
        for voice in list(self._voices.values()):
            self._leave(voice)


def _part(container: "Container") -> "tuple[str, str]":
    own = dict(container.spec.labels)
    return own.get(labels.SERVICE, container.id), own.get(labels.NUMBER, "") if own.get(labels.ONE_OFF) != "True" else container.id
