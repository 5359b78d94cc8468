"""Questions to whoever sits at the terminal. In: a question; out: what was typed. An end of input (^D) is no answer."""

from pybuild.scanner import Misuse


def ask(question: str) -> str:
    """Raises Misuse where the input ends instead."""
    try:
        return input(question).strip()
    except EOFError:
        print()
        raise Misuse("the input ended before there was an answer") from None


def ask_secretly(question: str) -> str:
    """As ask, and what is typed is not shown."""
    from getpass import getpass

    try:
        return getpass(question)
    except EOFError:
        print()
        raise Misuse("the input ended before there was an answer") from None


def agreed(question: str) -> bool:
    try:
        return input(f"{question} [y/N] ").strip().lower() in ("y", "yes")
    except EOFError:
        print()
        return False
