"""What there is and what it takes, for people: the list of commands, and one command's options."""

import shutil
import sys
import textwrap
from difflib import get_close_matches

from pybuild.command import TABLES, Command
from pybuild.option import FLAG, GLOBAL, LIST, MAYBE, Option, Usage

_INDENT = 30


def command_help(program: str, command: Command, usage: Usage) -> str:
    """The text of `COMMAND --help`: usage, what it does, operands, options, an example."""
    words = f"{program} {command.words}"
    if command.words == "build":
        words = f"{program} [build]"
    operands = " ".join({"1": o.name.upper(), "?": f"[{o.name.upper()}]", "+": f"{o.name.upper()}..."}.get(o.arity, f"[{o.name.upper()}...]")
                        for o in usage.operands)
    lines = [f"usage: {words} [OPTIONS] {operands}".rstrip(), "", usage.summary]
    if usage.operands:
        lines += ["", "operands:", *(line for o in usage.operands for line in _row(o.name.upper(), o.help))]
    if shown := [o for o in usage.options if not o.hidden]:
        lines += ["", "options:", *(line for o in shown for line in _row(_title(o), _text(o)))]
    lines += ["", "global options:", *(line for o in GLOBAL for line in _row(_title(o), _text(o)))]
    if command.aliases:
        lines += ["", "also: " + ", ".join(f"{program} {alias}" for alias in command.aliases)]
    return "\n".join([*lines, "", "example:", *(f"  {line}" for line in usage.example.splitlines()), ""])


def _title(option: Option) -> str:
    names = ", ".join(option.names.split())
    indent = "" if names.startswith("-") and not names.startswith("--") else "    "
    value = option.metavar or ("{" + "|".join(option.choices) + "}" if option.choices else "VALUE")
    return indent + names + ("" if option.kind == FLAG else f"[={value}]" if option.kind == MAYBE else f" {value}")


def _text(option: Option) -> str:
    facts = []
    if option.kind == LIST:
        facts.append("may be repeated")
    if option.choices and option.metavar:
        facts.append(", ".join(option.choices))
    if option.default not in (None, "", "false"):
        facts.append(f"default: {option.default}")
    return option.help + (f" ({'; '.join(facts)})" if facts else "")


def _row(title: str, text: str) -> list[str]:
    width = max(shutil.get_terminal_size((100, 24)).columns, 60)
    wrapped = textwrap.wrap(text, width - _INDENT) or [""]
    first = f"  {title:<{_INDENT - 3}} {wrapped[0]}" if len(title) <= _INDENT - 3 else f"  {title}\n{'':<{_INDENT}}{wrapped[0]}"
    return [first, *(f"{'':<{_INDENT}}{line}" for line in wrapped[1:])]


def overview(program: str, words: list[str]) -> int:
    """Print the list of commands, or of those of a group; or say that there is no such command (its exit status: pyup's is 1, as compose's)."""
    table = TABLES[program]
    groups = {c.words.split()[0] for c in table if " " in c.words} | {a.split()[0] for c in table for a in c.aliases if " " in a}
    asked = words[0] if words and not words[0].startswith("-") and words[0] != "help" else ""
    if asked and asked not in groups:
        return unknown(program, asked)
    if len(words) > 1 and not words[1].startswith("-"):
        return unknown(program, " ".join(words[:2]))
    rows = [(c.words, c.summary) for c in table] if not asked else [
        (name, c.summary) for c in table for name in (c.words, *c.aliases) if name.split()[0] == asked and " " in name]
    width = max(len(name) for name, _ in rows)
    print(f"usage: {program} {asked or '[COMMAND]'} [OPTIONS]\n\ncommands:")
    for name, summary in rows:
        print(f"  {name:<{width}}  {summary}")
    print(f"\n`{program} COMMAND --help` shows the options of a command.")
    return 0


def unknown(program: str, words: str) -> int:
    close = get_close_matches(words, [name for c in TABLES[program] for name in (c.words, *c.aliases)], 1)
    print(f"error: {program} has no command `{words}`", file=sys.stderr)
    print(f"  = help: {f'did you mean `{program} {close[0]}`?' if close else f'see `{program} --help`'}", file=sys.stderr)
    return 1 if program == "pyup" else 2
