"""Names of signals that STOPSIGNAL takes."""

NAMES = {"ABRT", "ALRM", "BUS", "CHLD", "CLD", "CONT", "FPE", "HUP", "ILL", "INT", "IO", "IOT", "KILL", "PIPE", "POLL", "PROF", "PWR", "QUIT",
         "SEGV", "STKFLT", "STOP", "SYS", "TERM", "TRAP", "TSTP", "TTIN", "TTOU", "URG", "USR1", "USR2", "VTALRM", "WINCH", "XCPU", "XFSZ",
         "RTMIN", "RTMAX"}
NAMES |= {f"RTMIN+{n}" for n in range(1, 16)} | {f"RTMAX-{n}" for n in range(1, 15)}


def is_signal(text: str) -> bool:
    """Whether `text` is a signal: a number, or a name with or without SIG, in any case."""
    digits = text[1:] if text[:1] in ("+", "-") else text
    if digits.isascii() and digits.isdecimal():
        return len(digits) < 10 and int(digits) != 0
    return text.upper().removeprefix("SIG") in NAMES


def meant(text: str) -> str:
    """A help line with the signal that `text` was probably to be, "" if none is near."""
    from lang.suggest import nearest
    return nearest(text.upper().removeprefix("SIG"), sorted(NAMES), "SIG")
