"""argv -> one command -> exit status: the only place that exits, and the only one that turns errors into text."""

import sys

from kernel.locks import tell_of_waits
from pybuild import quiet
from pybuild.command import DEFAULTS, TABLES, find
from pybuild.option import DRY_RUN, FLAG, GLOBAL, PROJECT, Option, Usage
from pybuild.scanner import HelpWanted, Misuse, scan

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

_DEFAULTS = vars(scan(Usage("", ""), []))
OK, FAILED, USAGE, TOOL_FAILED, NOT_EXECUTABLE, NOT_FOUND, INTERRUPTED = 0, 1, 2, 125, 126, 127, 130


def pybuild() -> "NoReturn":
    _exit(run("pybuild", sys.argv[1:], last=True))


def pyup() -> "NoReturn":
    _exit(run("pyup", sys.argv[1:], last=True))


def run(program: str, argv: list[str], *, last: bool = False) -> int:
    """Run the command that `argv` names; its exit status. Never raises: what goes wrong is printed to stderr, once.

    last: the process has nothing else to do; a ^C that comes afterwards, or a second one, ends it at once.
    """
    tell_of_waits(_tell_of_waiting)
    try:
        try:
            return _dispatch(program, argv)
        finally:
            if last:
                quiet.from_here()
    except KeyboardInterrupt:
        _ignore_interrupts()
        print("\ninterrupted" if sys.stderr.isatty() else "interrupted", file=sys.stderr)     # a terminal shows `^C`, without an end of line
        return INTERRUPTED
    except BrokenPipeError:                              # the reader of our output went away: nothing is wrong with us
        _silence_stdout()
        return FAILED
    except Exception as error:
        from pybuild.output.errors import report

        return report(error, debug="--debug" in argv or "-D" in argv)


def _tell_of_waiting(path: str, process: int) -> None:
    from pybuild.output.waiting import tell

    tell(path, process)


def _dispatch(program: str, argv: list[str]) -> int:
    before = PROJECT if program == "pyup" else ()
    ahead, words = _split(argv, (*GLOBAL, *before))
    command, count = find(TABLES[program], words)
    if command is None:
        if (not words and program == "pybuild") or (words and _asks_for_overview(program, words)):
            return _overview(program, words)
        command, _ = find(TABLES[program], [DEFAULTS[program]])
        assert command is not None, f"{program} has no default command"
    module = __import__(command.module, fromlist=["main"])
    usage: Usage = module.USAGE
    if before and " " not in command.words:
        usage = usage._replace(options=(*usage.options, DRY_RUN))
    try:
        options = scan(usage, words[count:])
        options.project = scan(Usage("", "", options=before), ahead)
        if usage is not module.USAGE:
            options.project.dry_run |= options.dry_run
        for name in (one.attribute() for one in GLOBAL):
            setattr(options, name, getattr(options, name) if getattr(options, name) != _DEFAULTS[name] else getattr(options.project, name))
        options.program = program
        return int(module.main(options))
    except HelpWanted:
        from pybuild.help import command_help

        print(command_help(program, command, usage), end="")
        return OK
    except Misuse as error:
        help = error.help or f"see `{program}{'' if command.words == DEFAULTS[program] else ' ' + command.words} --help`"
        print(f"error: {error}\n  = help: {help}", file=sys.stderr)
        return FAILED if program == "pyup" else USAGE     # compose has one status for all that is wrong, and 2 means something to `plan`


def _asks_for_overview(program: str, words: list[str]) -> bool:
    """Whether these words, which name no command, are about the commands as such (else they are the default command's own)."""
    first = words[0]
    if first in ("-h", "--help", "help", "-v", "--version"):
        return True
    groups = {name.split()[0] for c in TABLES[program] for name in (c.words, *c.aliases) if " " in name}
    return first in groups or (program == "pyup" and not first.startswith("-"))


def _overview(program: str, words: list[str]) -> int:
    if words and words[0] in ("-v", "--version"):
        from pybuild.version import text

        print(text(program))
        return OK
    if words[:1] == ["help"] and len(words) > 1:
        return _dispatch(program, [*words[1:], "--help"])
    from pybuild.help import overview

    return overview(program, words)


def _split(argv: list[str], known: tuple[Option, ...]) -> tuple[list[str], list[str]]:
    """Options of the program may stand before the command: (they, the rest)."""
    kinds = {name: o.kind for o in known for name in o.names.split()}
    at = 0
    while at < len(argv):
        name, equals, _ = argv[at].partition("=")
        if name not in kinds and len(name) > 2 and name[1] != "-" and kinds.get(name[:2], FLAG) != FLAG:
            name, equals = name[:2], "="                  # -pNAME
        if name not in kinds:
            break
        at += 1 if equals or kinds[name] == FLAG else 2
    return argv[:at], argv[at:]


def _ignore_interrupts() -> None:
    """We are going already: one more ^C shall not become a traceback."""
    import _signal  # type: ignore[import-not-found]     # `signal` makes enums

    _signal.signal(2, _signal.SIG_IGN)


def _silence_stdout() -> None:
    import os

    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)


def _exit(status: int) -> "NoReturn":
    """Leave at once: nothing of ours needs the interpreter's clean-up, which costs some milliseconds."""
    import os

    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except BrokenPipeError:
        status = status or FAILED
    os._exit(status)


quiet.no_more()

if __name__ == "__main__":
    pybuild()
