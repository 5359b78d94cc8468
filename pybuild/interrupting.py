"""Signals that end a command, as an exception: so that it clears up as after ^C whoever sends them, and is not kept from that by another one."""

_INT, _TERM, _HUP = 2, 15, 1
_IMPATIENCE_S = 1.0                                       # signals within it are one


def let_signals_interrupt(*, handled: bool = False) -> None:
    """INT, TERM and HUP raise KeyboardInterrupt, unless somebody has said otherwise, as `nohup` does. handled: this process inherited handlers
    that are for its parent."""
    import _signal  # type: ignore[import-not-found]     # `signal` makes enums, for longer than a cached build takes
    from time import monotonic

    last = [0.0]

    def interrupt(number: int, frame: object) -> None:
        now = monotonic()
        if now - last[0] > _IMPATIENCE_S:
            last[0] = now
            raise KeyboardInterrupt

    if handled:
        _signal.set_wakeup_fd(-1)
    for number in (_INT, _TERM, _HUP):
        before = _signal.getsignal(number)
        if before in (_signal.SIG_DFL, _signal.default_int_handler) or (handled and callable(before)):
            _signal.signal(number, interrupt)
