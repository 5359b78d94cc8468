"""Datagrams to a published port, carried on to the container: each sender has a socket of its own towards it, so that answers find their way back."""

import _socket
import struct
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    Watch = Callable[[int, Callable[[], None]], None]
    Forget = Callable[[int], None]

IDLE_S = 90.0
_MOST = 2048                                              # senders at once
_BATCH = 64
_RECEIVE_MAX = 65535
_IP_PKTINFO, _IPV6_RECVPKTINFO, _IPV6_PKTINFO = 8, 49, 50


class _Sender:
    __slots__ = ("ancillary", "name", "seen", "socket")

    def __init__(self, socket: "_socket.socket", name: "Any", ancillary: "list[tuple[int, int, bytes]]") -> None:
        self.socket = socket
        self.name = name
        self.ancillary = ancillary                        # makes an answer come from the address that was asked
        self.seen = time.monotonic()


class Datagrams:
    """door: bound, not blocking. target: (address, port) of the container."""

    def __init__(self, door: "_socket.socket", target: tuple[str, int], watch: "Watch", forget: "Forget") -> None:
        self.door = door
        self.target = target
        self._watch = watch
        self._forget = forget
        self._senders: "dict[Any, _Sender]" = {}
        self._six = door.family == _socket.AF_INET6
        if self._six:
            door.setsockopt(_socket.IPPROTO_IPV6, _IPV6_RECVPKTINFO, 1)
        else:
            door.setsockopt(_socket.IPPROTO_IP, _IP_PKTINFO, 1)
        watch(door.fileno(), self._on_door)

    def retarget(self, target: tuple[str, int]) -> None:
        self._drop_senders()
        self.target = target

    def close(self) -> None:
        self._drop_senders()
        self._forget(self.door.fileno())
        self.door.close()

    def expire(self) -> None:
        """Forget senders that have been silent for long."""
        now = time.monotonic()
        for key, sender in list(self._senders.items()):
            if now - sender.seen > IDLE_S:
                self._drop(key)

    # ---------------------------------------------------------------- there
    def _on_door(self) -> None:
        for _ in range(_BATCH):
            try:
                data, ancillary, _, name = self.door.recvmsg(_RECEIVE_MAX, _socket.CMSG_SPACE(20))
            except OSError:
                return
            sender = self._sender(name, self._source(ancillary))
            if sender:
                try:
                    sender.socket.send(data)
                except OSError:
                    pass                                  # nobody listens there, or not fast enough: datagrams get lost

    def _source(self, ancillary: "list[Any]") -> "list[tuple[int, int, bytes]]":
        for level, kind, data in ancillary:
            if level == _socket.IPPROTO_IP and kind == _IP_PKTINFO:
                _, local, _ = struct.unpack("=i4s4s", data[:12])
                return [(_socket.IPPROTO_IP, _IP_PKTINFO, struct.pack("=i4s4s", 0, local, bytes(4)))]
            if level == _socket.IPPROTO_IPV6 and kind == _IPV6_PKTINFO:
                return [(_socket.IPPROTO_IPV6, _IPV6_PKTINFO, data[:20])]
        return []

    def _sender(self, name: "Any", ancillary: "list[tuple[int, int, bytes]]") -> _Sender | None:
        key = (name, ancillary[0][2] if ancillary else b"")
        sender = self._senders.get(key)
        if sender:
            sender.seen = time.monotonic()
            return sender
        if len(self._senders) >= _MOST:
            self._drop(min(self._senders, key=lambda one: self._senders[one].seen))
        family = _socket.AF_INET6 if ":" in self.target[0] else _socket.AF_INET
        try:
            socket = _socket.socket(family, _socket.SOCK_DGRAM | _socket.SOCK_NONBLOCK)
            socket.connect(self.target)
        except OSError:
            return None
        sender = self._senders[key] = _Sender(socket, name, ancillary)
        self._watch(socket.fileno(), lambda: self._on_answer(sender))
        return sender

    # ---------------------------------------------------------------- and back
    def _on_answer(self, sender: _Sender) -> None:
        for _ in range(_BATCH):
            try:
                data = sender.socket.recv(_RECEIVE_MAX)
            except OSError:
                return
            sender.seen = time.monotonic()
            try:
                self.door.sendmsg([data], sender.ancillary, 0, sender.name)
            except OSError:
                pass

    def _drop(self, key: "Any") -> None:
        sender = self._senders.pop(key)
        self._forget(sender.socket.fileno())
        sender.socket.close()

    def _drop_senders(self) -> None:
        for key in list(self._senders):
            self._drop(key)
