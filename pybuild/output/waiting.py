"""Words about a wait that has become long. In: the lock's path and its holder; out: one line on stderr."""

import sys


def tell(path: str, process: int) -> None:
    who = f"process {process}{_described(process)}" if process else "a process that cannot be seen from here"
    print(f"waiting for {who}, which holds `{path}`", file=sys.stderr, flush=True)


def _described(process: int) -> str:
    """Its command, and whether it can go on at all; "" for one that is out of sight."""
    try:
        with open(f"/proc/{process}/stat", "rb") as file:
            name, _, rest = file.read(4096).decode("utf-8", "replace").partition("(")[2].rpartition(") ")
        with open(f"/proc/{process}/cmdline", "rb") as file:
            words = [word.decode("utf-8", "replace") for word in file.read(4096).split(b"\0") if word]
    except OSError:
        return ""
    shown = "".join(c if c.isprintable() else "?" for c in " ".join(words) or name)
    stopped = ", stopped" if rest[:1] in ("T", "t") else ""
    return f" (`{shown if len(shown) <= 80 else shown[:77] + '...'}`{stopped})"
