"""^C while the program is loaded: it ends, as any other, without a word and without a traceback. Importing this comes before everything else."""

import _signal  # type: ignore[import-not-found]

_usual = _signal.getsignal(_signal.SIGINT)


def from_here() -> None:
    """^C, unless it is ignored, ends the process at once."""
    if callable(_usual):
        _signal.signal(_signal.SIGINT, _signal.SIG_DFL)


def no_more() -> None:
    """^C is a KeyboardInterrupt again, if it was one."""
    if callable(_usual):
        _signal.signal(_signal.SIGINT, _usual)


from_here()
