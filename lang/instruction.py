"""Raw -> Instruction: each instruction's flags, the number and form of its arguments, what can be said without expanding anything."""

from lang.errors import LangError, SyntaxFault, UnknownFlag, UnknownInstruction, at_fault, together
from lang.nodes import (
    Add,
    Arg,
    Cmd,
    Copy,
    Entrypoint,
    Env,
    Exec,
    Expose,
    From,
    Healthcheck,
    Label,
    Maintainer,
    Onbuild,
    Pair,
    Raw,
    Run,
    Shell,
    Shell_,
    Stopsignal,
    User,
    Volume,
    Word,
    Workdir,
)
from lang.source import Source, Span

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import NoReturn

    from lang.nodes import Command, Instruction

BOOL, TEXT, LIST = 1, 2, 3
# flags of each instruction; an instruction that is not here takes none
FLAGS = {
    "ADD": {"chown": TEXT, "chmod": TEXT, "link": BOOL, "keep-git-dir": BOOL, "checksum": TEXT, "unpack": BOOL, "exclude": LIST},
    "COPY": {"from": TEXT, "chown": TEXT, "chmod": TEXT, "link": BOOL, "parents": BOOL, "exclude": LIST},
    "FROM": {"platform": TEXT},
    "HEALTHCHECK": {"interval": TEXT, "timeout": TEXT, "start-period": TEXT, "start-interval": TEXT, "retries": TEXT},
    "RUN": {"mount": LIST, "network": TEXT, "security": TEXT, "device": LIST},
}
OURS = {"RUN": {"timeout": TEXT, "retry": TEXT}}          # only with `# syntax=pybuild`
# what to write, for instructions that were left without arguments
USAGE = {"ARG": "ARG name=value", "ENV": "ENV name=value", "LABEL": "LABEL name=value", "EXPOSE": "EXPOSE 80/tcp", "VOLUME": "VOLUME /path",
         "USER": "USER name", "WORKDIR": "WORKDIR /path", "STOPSIGNAL": "STOPSIGNAL SIGTERM", "SHELL": 'SHELL ["/bin/bash", "-c"]',
         "HEALTHCHECK": "HEALTHCHECK CMD command", "MAINTAINER": "MAINTAINER name"}
NETWORKS = ("default", "none", "host")
SHORTEST = 10**6                                          # nanoseconds of a health check's durations


def check(raw: Raw, source: Source, dialect: str = "") -> "Instruction":
    """The instruction that `raw` is. Raises SyntaxFault, UnknownInstruction, UnknownFlag."""
    make = INSTRUCTIONS.get(raw.name)
    if make is None:
        from lang.suggest import nearest
        raise UnknownInstruction(source, raw.keyword.span, raw.keyword.text, nearest(raw.keyword.text, INSTRUCTIONS))
    return make(_Checked(raw, source, dialect))


def check_names(raws: "Iterable[Raw]", source: Source) -> None:
    """Raises LangError for what are no instructions, also not of ours."""
    errors: list[LangError] = []
    for raw in raws:
        if raw.name not in INSTRUCTIONS and raw.name != "INCLUDE":
            try:
                check(raw, source)
            except LangError as error:
                errors.append(error)
    if errors:
        raise together(errors)


class _Checked:
    """One instruction on its way: what the functions below ask of it."""

    __slots__ = ("dialect", "flags", "raw", "source")

    def __init__(self, raw: Raw, source: Source, dialect: str) -> None:
        self.raw = raw
        self.source = source
        self.dialect = dialect
        self.flags: dict[str, list[Word]] = {}

    def fail(self, span: Span, message: str, help: str = "") -> "NoReturn":
        raise SyntaxFault(self.source, span, message, help)

    def fail_whole(self, message: str, help: str = "") -> "NoReturn":
        self.fail(Span(self.raw.keyword.start, self.raw.text.end), message, help)

    def parse_flags(self) -> None:
        """Take the flags apart: name -> values, each with its place."""
        if not self.raw.flags:
            return
        known = FLAGS.get(self.raw.name, {})
        if self.dialect:
            known = known | OURS.get(self.raw.name, {})
        for flag in self.raw.flags:
            name, equals, text = flag.text[2:].partition("=")
            place = Span(flag.start, flag.at(len(name) + 2))
            kind = known.get(name)
            if kind is None:
                raise UnknownFlag(self.source, place, self.raw.name, name, _flag_help(self.raw.name, name, known))
            if name in self.flags and kind != LIST:
                self.fail(place, f"the flag `--{name}` is given twice")
            if (kind != BOOL and not equals) or (kind == BOOL and equals and not text):
                self.fail(place, f"the flag `--{name}` has no value", "" if kind == BOOL else f"--{name}=...")
            value = flag.part(len(name) + 3, text) if equals else Word("true", flag.start, flag.end)
            if kind == BOOL and value.text.lower() not in ("true", "false"):
                self.fail(value.span, f"`{text}` is neither true nor false")
            self.flags.setdefault(name, []).append(value)

    def text(self, flag: str) -> Word | None:
        found = self.flags.get(flag)
        return found[0] if found else None

    def bool(self, flag: str) -> bool:
        found = self.text(flag)
        return found is not None and found.text.lower() == "true"

    def list(self, flag: str) -> tuple[Word, ...]:
        return tuple(self.flags.get(flag, ()))

    def some(self) -> tuple[Word, ...]:
        """The arguments: at least one."""
        if not self.raw.args:
            self.fail(self.raw.keyword.span, f"{self.raw.name} without arguments", USAGE.get(self.raw.name, ""))
        return self.raw.args

    def one(self) -> Word:
        """The one argument there is."""
        if len(self.raw.args) != 1:
            self.fail_whole(f"{self.raw.name} takes one argument", USAGE.get(self.raw.name, ""))
        return self.raw.args[0]

    def command(self, args: tuple[Word, ...]) -> "Command":
        if self.raw.json:
            return Exec(args)
        return Shell(args[0] if args else Word("", self.raw.keyword.end, self.raw.keyword.end))

    def duration(self, flag: str, shortest: int = 0) -> int:
        """Nanoseconds of a flag, 0 if it is not given or empty."""
        value = self.text(flag)
        if value is None or not value.text:
            return 0
        from lang.duration import format_duration, parse_duration
        try:
            found = parse_duration(value.text)
        except ValueError as error:
            raise SyntaxFault(self.source, at_fault(error, value, value.text), str(error), "for example `30s`") from None
        if found and found < shortest:
            self.fail(value.span, f"`--{flag}` is shorter than {format_duration(shortest)}")
        return found

    def number(self, flag: str, value: Word) -> int:
        digits = value.text[1:] if value.text[:1] in ("+", "-") else value.text
        if not (digits.isascii() and digits.isdecimal()) or len(digits.lstrip("0")) > 10 or int(digits[-11:]) >= 2**31:
            self.fail(value.span, f"`{value.text}` is no number of {flag}")
        if value.text[0] == "-" and int(digits):
            self.fail(value.span, f"a negative number of {flag}")
        return int(digits)


def _flag_help(instruction: str, flag: str, known: "dict[str, int]") -> str:
    """A help line for a flag that an instruction does not have."""
    from lang.suggest import nearest
    others = [name for name, flags in FLAGS.items() if flag in flags]
    ours = flag in OURS.get(instruction, {})
    return nearest(flag, known, "--") or ("it has with `# syntax=pybuild` in the first line" if ours else
                                          f"{' and '.join(others)} {'have' if others[1:] else 'has'} it" if others else "")


def _pairs(it: _Checked) -> tuple[Pair, ...]:
    it.parse_flags()
    args = it.some()
    if it.raw.legacy:
        return (Pair(args[0], args[1]),)
    return tuple(_pair(it, arg) for arg in args)


def _pair(it: _Checked, arg: Word) -> Pair:
    name, equals, value = arg.text.partition("=")
    if not name:
        it.fail(arg.span, f"{it.raw.name} with a blank name")
    return Pair(arg.part(0, name), arg.part(len(name) + 1, value) if equals else None)


def _transfer(it: _Checked) -> tuple[tuple[Word, ...], Word]:
    """Sources and destination of COPY and ADD."""
    args = it.raw.args
    if len(args) < 2:
        it.fail_whole(f"{it.raw.name} with {'one argument' if args else 'no arguments'}: a source and a destination are needed")
    if not it.raw.json and args[-1].text.lstrip("0123456789").startswith("<<"):
        from lang.heredoc import parse_mark
        if parse_mark(args[-1].text):
            it.fail(args[-1].span, "a heredoc as the destination", f"the destination comes last: {it.raw.name} <<EOF /file")
    it.parse_flags()
    return args[:-1], args[-1]


def _add(it: _Checked) -> Add:
    sources, destination = _transfer(it)
    return Add(it.raw, sources, destination, it.text("chown"), it.text("chmod"), it.text("checksum"), it.list("exclude"), it.bool("link"),
               it.bool("keep-git-dir"), it.bool("unpack") if "unpack" in it.flags else None)


def _copy(it: _Checked) -> Copy:
    sources, destination = _transfer(it)
    origin = it.text("from")
    if origin is not None and "$" in origin.text and not it.dialect:
        it.fail(origin.span, "a variable in `--from`", "name the stage or image with FROM ... AS name, or begin the file with `# syntax=pybuild`")
    return Copy(it.raw, sources, destination, origin, it.text("chown"), it.text("chmod"), it.list("exclude"), it.bool("link"), it.bool("parents"))


def _from(it: _Checked) -> From:
    args = it.raw.args
    named = len(args) == 3 and args[1].text.lower() == "as"
    if len(args) != 1 and not named:
        it.fail_whole("FROM takes an image, or an image and a name", "FROM image AS name")
    name = args[2] if named else None
    if name is not None and not is_stage_name(name.text.lower()):
        it.fail(name.span, f"`{name.text}` is no name of a stage", "a letter, then letters, digits, `-`, `_` and `.`")
    it.parse_flags()
    return From(it.raw, args[0], name, it.text("platform"))


def is_stage_name(name: str) -> bool:
    return name[:1] in LETTERS and name[:1] != "" and not name.strip(LETTERS + "0123456789-_.")


LETTERS = "abcdefghijklmnopqrstuvwxyz"


def _arg(it: _Checked) -> Arg:
    return Arg(it.raw, tuple(_pair(it, arg) for arg in it.some()))


def _env(it: _Checked) -> Env:
    return Env(it.raw, _pairs(it))


def _label(it: _Checked) -> Label:
    return Label(it.raw, _pairs(it))


def _run(it: _Checked) -> Run:
    it.parse_flags()
    for mount in it.list("mount"):
        from lang.mount import check_fields
        check_fields(mount, it.source, it.dialect)
    network, security = it.text("network"), it.text("security")
    if network is not None and network.text not in NETWORKS:
        it.fail(network.span, f"`{network.text}` is no network mode" if network.text else "a blank network mode", _mode(network.text, NETWORKS))
    if security is not None and security.text not in ("sandbox", "insecure"):
        it.fail(security.span, f"`{security.text}` is no security mode" if security.text else "a blank security mode", "sandbox or insecure")
    for device in it.list("device"):
        if not device.text.partition(",")[0].strip():
            it.fail(device.span, "a blank device", "--device=vendor/class=name")
    retries, delay = _retry(it)
    return Run(it.raw, it.command(it.raw.args), it.list("mount"), network.text if network else "default", security.text if security else "sandbox",
               it.list("device"), it.duration("timeout", SHORTEST), retries, delay)


def _mode(text: str, modes: tuple[str, ...]) -> str:
    from lang.suggest import nearest
    return nearest(text, modes) or ", ".join(modes)


def _retry(it: _Checked) -> tuple[int, int]:
    """--retry=N[,delay=DURATION]: how often again, and nanoseconds between."""
    value = it.text("retry")
    if value is None:
        return 0, 0
    times, comma, rest = value.text.partition(",")
    if comma and not rest.startswith("delay="):
        it.fail(value.span, f"`{rest}` is no part of `--retry`", "--retry=N,delay=DURATION")
    if comma:
        at = len(times) + len(",delay=")
        it.flags["retry delay"] = [value.part(at, value.text[at:])]
    return it.number("retries", value.part(0, times)), it.duration("retry delay")


def _cmd(it: _Checked) -> Cmd:
    it.parse_flags()
    return Cmd(it.raw, it.command(it.raw.args))


def _entrypoint(it: _Checked) -> Entrypoint:
    it.parse_flags()
    return Entrypoint(it.raw, it.command(it.raw.args))


def _healthcheck(it: _Checked) -> Healthcheck:
    kind, *rest = it.some()
    if kind.text.upper() == "NONE":
        if rest or it.raw.json:
            it.fail_whole("HEALTHCHECK NONE with arguments")
        return Healthcheck(it.raw, None)
    it.parse_flags()
    if kind.text.upper() != "CMD":
        it.fail(kind.span, f"`{kind.text}` is no kind of health check", "CMD command, or NONE")
    if not rest:
        it.fail_whole("HEALTHCHECK CMD without a command")
    retries = it.text("retries")
    return Healthcheck(it.raw, it.command(tuple(rest)), it.duration("interval", SHORTEST), it.duration("timeout", SHORTEST),
                       it.duration("start-period", SHORTEST), it.duration("start-interval", SHORTEST),
                       it.number("retries", retries) if retries and retries.text else 0)


def _shell(it: _Checked) -> Shell_:
    it.parse_flags()
    args = it.some()
    if not it.raw.json:
        it.fail(args[0].span, "SHELL takes a JSON array", 'SHELL ["/bin/bash", "-c"]')
    return Shell_(it.raw, args)


def _expose(it: _Checked) -> Expose:
    args = it.some()
    it.parse_flags()
    return Expose(it.raw, args)


def _volume(it: _Checked) -> Volume:
    args = it.some()
    it.parse_flags()
    for arg in args:
        if not arg.text.strip():
            it.fail(arg.span, "VOLUME with a blank path")
    return Volume(it.raw, tuple(arg._replace(text=arg.text.strip()) for arg in args))


def _user(it: _Checked) -> User:
    user = it.one()
    it.parse_flags()
    return User(it.raw, user)


def _workdir(it: _Checked) -> Workdir:
    path = it.one()
    it.parse_flags()
    return Workdir(it.raw, path)


def _maintainer(it: _Checked) -> Maintainer:
    author = it.one()
    it.parse_flags()
    return Maintainer(it.raw, author)


def _stopsignal(it: _Checked) -> Stopsignal:
    return Stopsignal(it.raw, it.one())


def _onbuild(it: _Checked) -> Onbuild:
    child = it.raw.child
    if child is None:
        it.fail(it.raw.keyword.span, "ONBUILD without an instruction")
    if child.name in ("ONBUILD", "FROM", "MAINTAINER", "INCLUDE"):
        it.fail(child.keyword.span, f"{child.name} as the trigger of ONBUILD")
    it.parse_flags()
    text = it.raw.text.text.strip()[len("ONBUILD"):].lstrip()
    return Onbuild(it.raw, text + "".join(f"\n{heredoc.content}{heredoc.name}" for heredoc in it.raw.heredocs))


INSTRUCTIONS: "dict[str, Callable[[_Checked], Instruction]]" = {
    "ADD": _add, "ARG": _arg, "CMD": _cmd, "COPY": _copy, "ENTRYPOINT": _entrypoint, "ENV": _env, "EXPOSE": _expose, "FROM": _from,
    "HEALTHCHECK": _healthcheck, "LABEL": _label, "MAINTAINER": _maintainer, "ONBUILD": _onbuild, "RUN": _run, "SHELL": _shell,
    "STOPSIGNAL": _stopsignal, "USER": _user, "VOLUME": _volume, "WORKDIR": _workdir,
}
