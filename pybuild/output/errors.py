"""An error as text on stderr, once: message, position with the line and a caret, one line of help; and the exit status that goes with it."""

import os
import sys

from kernel.errors import PROCESS_LIMIT

FAILED, TOOL_FAILED = 1, 125

# Root errors of the rooms: they say what is wrong with what the user gave, or with the machine. Anything else is a bug of ours.
_KNOWN = ("LangError", "BuildError", "StoreError", "SandboxError", "RunError")


def report(error: BaseException, *, debug: bool = False) -> int:
    """Print `error`; the exit status for it (1: what was asked for failed; 125: the tool itself did)."""
    if debug:
        import traceback

        traceback.print_exception(error)
    known = any(c.__name__ in _KNOWN for c in type(error).__mro__)
    if not known and not isinstance(error, OSError):
        return _bug(error, debug)
    sys.stdout.flush()
    print(text(error), file=sys.stderr)
    return int(getattr(error, "exit_code", FAILED))


def text(error: BaseException) -> str:
    """One or several diagnostics, as architecture.md section 9 draws them."""
    diagnostics = getattr(error, "diagnostics", None)
    if diagnostics is not None:
        from lang.diagnostic import render

        found = diagnostics() if callable(diagnostics) else diagnostics
        omitted = getattr(error, "omitted", 0)
        return "\n\n".join((*(render(d, color=_color()) for d in found), *([f"and {omitted} more"] if omitted else [])))
    span, source = getattr(error, "span", None), getattr(error, "source", None)
    help = getattr(error, "help", "") or getattr(error, "hint", "") or (PROCESS_LIMIT if isinstance(error, BlockingIOError) else "")
    if span is not None and source is not None:
        from lang.diagnostic import Diagnostic, render

        return render(Diagnostic("error", message(error), source, span, help), color=_color())
    return f"error: {message(error)}" + (f"\n  = help: {_line(help)}" if help else "")


def message(error: BaseException) -> str:
    """One line, without what a terminal would obey: names in it are those of images, archives and registries."""
    return _line(_said(error))


def _line(said: str) -> str:
    if said.isprintable():
        return said
    from lang.diagnostic import printable

    return printable(said)


def _said(error: BaseException) -> str:
    if isinstance(error, OSError) and type(error).__str__ is OSError.__str__:
        if isinstance(error, BlockingIOError):            # of fork
            return f"cannot start another process: {(error.strerror or '').lower()}"
        about = f"`{os.fsdecode(error.filename)}`: " if error.filename else ""
        return about + (error.strerror or str(error)).lower()
    return str(error)


def _color() -> bool:
    if os.environ.get("NO_COLOR"):
        return False
    return bool(os.environ.get("FORCE_COLOR")) or sys.stderr.isatty()


def _bug(error: BaseException, debug: bool) -> int:
    trace = getattr(error, "trace", "")
    print(f"error: {type(error).__name__}: {error}", file=sys.stderr)
    if debug and trace:
        print(trace, file=sys.stderr)
    print("  = help: this is a fault of the tool, not of your input; `--debug` shows where", file=sys.stderr)
    return TOOL_FAILED
