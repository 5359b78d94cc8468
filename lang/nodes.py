"""What a Dockerfile says: one value an instruction, words raw and with their places. Nothing is expanded here.

Read in this order: Word, Raw (what the grammar alone knows), the instructions (checked, one class each), Dockerfile.
"""

from kernel.value import Value
from lang.source import Source, Span

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import TypeAlias


class Word(Value):
    """A piece of text as it is written, from `start` to `end` of the source.

    breaks: where the text goes on after an escaped line end, or something else that is not of it: (offset in text, offset in source).
    """

    text: str
    start: int
    end: int
    breaks: "tuple[tuple[int, int], ...]" = ()

    @property
    def span(self) -> Span:
        return Span(self.start, self.end)

    def at(self, offset: int) -> int:
        """Where character `offset` of the text stands in the source."""
        begin, place = 0, self.start
        for where, source in self.breaks:
            if where > offset:
                break
            begin, place = where, source
        return min(place + offset - begin, self.end)

    def part(self, offset: int, text: str, length: int = -1) -> "Word":
        """`length` characters from `offset`, as a word of its own that says `text`: the same characters unless told otherwise."""
        length = len(text) if length < 0 else length
        if not self.breaks:
            start = self.start + offset
            return Word(text, start, start + length)
        breaks = tuple((where - offset, source) for where, source in self.breaks if offset < where < offset + length)
        return Word(text, self.at(offset), self.at(offset + length - 1) + 1 if length else self.at(offset), breaks)

    def only(self, offsets: "Sequence[int]") -> "Word":
        """The word with these characters of its text only (quotes are gone, say), each still in its place."""
        if len(offsets) == len(self.text):
            return self
        breaks: list[tuple[int, int]] = []
        follows = self.start                              # where the next one stands if none was left out before it
        for index, offset in enumerate(offsets):
            place = self.at(offset)
            if place != follows:
                breaks.append((index, place))
            follows = place + 1
        return Word("".join(self.text[offset] for offset in offsets), self.start, self.end, tuple(breaks))


class Heredoc(Value):
    """`<<name` and its body, raw. expand: the delimiter was not quoted; chomp: `<<-`, leading tabs do not count."""

    name: str
    content: str
    expand: bool
    chomp: bool
    descriptor: int
    start: int                                            # of the body
    end: int                                              # of the line of the delimiter, without its line end

    @property
    def text(self) -> str:
        """The body without the tabs that `<<-` takes away."""
        if not self.chomp:
            return self.content
        return "".join(line.lstrip("\t") for line in self.content.splitlines(keepends=True))


class Raw(Value):
    """An instruction as the grammar reads it.

    args: JSON strings decoded, else raw words; names and values alternate if `legacy`. text: the logical line.
    """

    keyword: Word
    flags: "tuple[Word, ...]"
    args: "tuple[Word, ...]"
    json: bool
    legacy: bool
    heredocs: "tuple[Heredoc, ...]"
    child: "Raw | None"                                   # of ONBUILD
    text: Word
    comments: "tuple[Word, ...]"                          # the comment lines before it, without `#`
    blank: int                                            # where an empty line is among its continuation lines, or -1
    span: Span                                            # from its first character to the end of its last heredoc

    @property
    def name(self) -> str:
        """The instruction in capitals."""
        return self.keyword.text.upper()


class Shell(Value):
    """The shell form of a command: one string."""

    text: Word


class Exec(Value):
    """The exec form of a command: a list."""

    argv: "tuple[Word, ...]"


class Pair(Value):
    """name=value, or the name alone (ARG)."""

    name: Word
    value: "Word | None"


class Add(Value):
    raw: Raw
    sources: "tuple[Word, ...]"                           # `<<NAME` is one of `raw.heredocs`
    destination: Word
    chown: "Word | None"
    chmod: "Word | None"
    checksum: "Word | None"
    excludes: "tuple[Word, ...]"
    link: bool
    keep_git_dir: bool
    unpack: "bool | None"                                 # None: not said


class Arg(Value):
    raw: Raw
    pairs: "tuple[Pair, ...]"


class Cmd(Value):
    raw: Raw
    command: "Shell | Exec"


class Copy(Value):
    raw: Raw
    sources: "tuple[Word, ...]"
    destination: Word
    origin: "Word | None"                                 # --from
    chown: "Word | None"
    chmod: "Word | None"
    excludes: "tuple[Word, ...]"
    link: bool
    parents: bool


class Entrypoint(Value):
    raw: Raw
    command: "Shell | Exec"


class Env(Value):
    raw: Raw
    pairs: "tuple[Pair, ...]"


class Expose(Value):
    raw: Raw
    ports: "tuple[Word, ...]"


class From(Value):
    raw: Raw
    image: Word
    name: "Word | None"
    platform: "Word | None"


class Healthcheck(Value):
    """command: None for NONE. Durations in nanoseconds, 0 where not given."""

    raw: Raw
    command: "Shell | Exec | None"
    interval: int = 0
    timeout: int = 0
    start_period: int = 0
    start_interval: int = 0
    retries: int = 0


class Label(Value):
    raw: Raw
    pairs: "tuple[Pair, ...]"


class Maintainer(Value):
    raw: Raw
    author: Word


class Onbuild(Value):
    """trigger: the instruction as text, its heredocs' bodies and delimiters on lines of their own behind it."""

    raw: Raw
    trigger: str


class Run(Value):
    """mounts, devices: the raw values of the flags (lang/mount.py). timeout: nanoseconds, 0: none."""

    raw: Raw
    command: "Shell | Exec"
    mounts: "tuple[Word, ...]" = ()
    network: str = "default"
    security: str = "sandbox"
    devices: "tuple[Word, ...]" = ()
    timeout: int = 0
    retries: int = 0
    retry_delay: int = 0


class Shell_(Value):
    raw: Raw
    argv: "tuple[Word, ...]"


class Stopsignal(Value):
    raw: Raw
    signal: Word


class User(Value):
    raw: Raw
    user: Word


class Volume(Value):
    raw: Raw
    paths: "tuple[Word, ...]"


class Workdir(Value):
    raw: Raw
    path: Word


class Directive(Value):
    """`# name=value` at the head of a file."""

    name: str
    value: str
    span: Span


# what `# syntax=` names and is this language
OURS = ("docker/dockerfile", "docker/dockerfile-upstream", "docker.io/docker/dockerfile", "docker.io/docker/dockerfile-upstream", "dockerfile.v0",
        "pybuild")


class Dockerfile(Value):
    """A parsed file. escape: the character that escapes; dialect: "pybuild" with `# syntax=pybuild`, else "".

    syntax: the frontend that is asked for, by the directive or in its place; "" for none.
    """

    directives: "tuple[Directive, ...]"
    instructions: "tuple[Instruction, ...]"
    source: Source
    escape: str = "\\"
    dialect: str = ""
    syntax: str = ""

    def strange_syntax(self) -> str:
        """The frontend that is asked for if it is one that would have to be run, which we do not; else ""."""
        return "" if not self.syntax or self.syntax.partition("@")[0].partition(":")[0] in OURS else self.syntax

    def directive(self, name: str) -> str:
        """The value of a directive, "" if it is not given."""
        return next((d.value for d in self.directives if d.name == name), "")


if TYPE_CHECKING:
    Command: TypeAlias = "Shell | Exec"
    Instruction: TypeAlias = ("Add | Arg | Cmd | Copy | Entrypoint | Env | Expose | From | Healthcheck | Label | Maintainer | Onbuild | Run"
                              " | Shell_ | Stopsignal | User | Volume | Workdir")
