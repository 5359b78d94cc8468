"""The part of an image's config that a Dockerfile can change, and how each instruction changes it.

The words are the image specification's. None and () differ where docker keeps them apart: a `CMD []` is not no CMD.
"""

from kernel.value import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
DEFAULT_SHELL = ("/bin/sh", "-c")


class Health(Value):
    """A health check: test as in the config (`CMD`, `CMD-SHELL` or `NONE` first); durations in nanoseconds, 0 where not given."""

    test: "tuple[str, ...]"
    interval: int = 0
    timeout: int = 0
    start_period: int = 0
    start_interval: int = 0
    retries: int = 0


class Settings(Value):
    """Config of an image. Pairs keep their order; names in them are unique. Sets are sorted."""

    env: "tuple[tuple[str, str], ...]" = ()
    user: str = ""
    working_dir: str = ""
    cmd: "tuple[str, ...] | None" = None
    entrypoint: "tuple[str, ...] | None" = None
    shell: "tuple[str, ...] | None" = None
    labels: "tuple[tuple[str, str], ...]" = ()
    exposed_ports: "tuple[str, ...]" = ()
    volumes: "tuple[str, ...]" = ()
    stop_signal: str = ""
    healthcheck: "Health | None" = None
    on_build: "tuple[str, ...]" = ()
    author: str = ""

    def getenv(self, name: str) -> "str | None":
        """The value of a variable, None if it is not set."""
        return next((value for key, value in self.env if key == name), None)


SCRATCH = Settings(env=(("PATH", PATH),), working_dir="/")


def with_pair(pairs: "tuple[tuple[str, str], ...]", name: str, value: str) -> "tuple[tuple[str, str], ...]":
    """Pairs in which `name` has `value`: in its place if it was there, else at the end."""
    for number, (key, _) in enumerate(pairs):
        if key == name:
            return (*pairs[:number], (name, value), *pairs[number + 1:])
    return (*pairs, (name, value))


def merged(present: "tuple[str, ...]", more: "Iterable[str]") -> "tuple[str, ...]":
    """A sorted set with more in it."""
    return tuple(sorted({*present, *more}))


def quoted(text: str) -> str:
    """`text` as Go's %q prints it: history entries are written so."""
    out = ['"']
    for character in text:
        code = ord(character)
        if character in '"\\':
            out.append("\\" + character)
        elif character.isprintable():
            out.append(character)
        elif character in "\a\b\f\n\r\t\v":
            out.append("\\" + "abfnrtv"["\a\b\f\n\r\t\v".index(character)])
        elif code < 0x20 or code == 0x7F:
            out.append(f"\\x{code:02x}")
        elif 0xDC80 <= code <= 0xDCFF:
            out.append(f"\\x{code - 0xDC00:02x}")         # a byte that was no UTF-8
        else:
            out.append(f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}")
    return "".join(out) + '"'


def quoted_list(items: "Iterable[str]") -> str:
    return f"[{' '.join(quoted(item) for item in items)}]"


def quoted_health(health: Health) -> str:
    from lang.duration import format_duration
    durations = " ".join(f'"{format_duration(d)}"' for d in health[1:5])
    return f"&{{{quoted_list(health.test)} {durations} {_character(health.retries)}}}"


def _character(code: int) -> str:
    """A number as Go's %q prints it: as the character it is the code of."""
    if code > 0x10FFFF or 0xD800 <= code < 0xE000:
        code = 0xFFFD
    if code == ord('"'):
        return "'\"'"
    return "'" + quoted(chr(code))[1:-1].replace("'", "\\'") + "'"
