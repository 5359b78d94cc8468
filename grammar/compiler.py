"""Compiles `<name>.lark` with Lark into the table that grammar/driver.py runs; the only importer of Lark.

Runs when the wheel is built (grammar/hook.py), by `python -m grammar`, and on first use in a checkout.
"""

import importlib
import marshal
import os
import re
from pathlib import Path
from typing import Any

from lark import Lark
from lark.grammar import Terminal
from lark.lexer import ContextualLexer, PatternRE, PatternStr, TerminalDef
from lark.parsers.lalr_analysis import Shift

from grammar.driver import FORMAT, HERE, MACHINE

# the comment of a grammar that names the rules a text may begin with
START = re.compile(r"^// start: (.+)$", re.MULTILINE)


def names() -> list[str]:
    """The grammars there are."""
    return sorted(path.stem for path in Path(HERE).glob("*.lark"))


def lark(name: str) -> Lark:
    """Lark itself for grammar `name`: what the driver is tested against."""
    source = Path(HERE, f"{name}.lark").read_text("utf-8")
    found = START.search(source)
    assert found, f"{name}.lark names no rule to begin with"
    return Lark(source, parser="lalr", lexer="contextual", start=found[1].split(", "), maybe_placeholders=False)


def compile_grammar(name: str) -> dict[str, Any]:
    """The table of grammar `name`, as driver.Table takes it.

    Raises lark.exceptions.GrammarError; AssertionError for what the driver does not do.
    """
    parser: Any = lark(name)
    analysis = parser.parser.parser._parse_table
    rules = list(parser.rules)
    number_of = {rule: number for number, rule in enumerate(rules)}
    states = [{str(symbol): arg if action is Shift else ~number_of[arg] for symbol, (action, arg) in row.items()}
              for _, row in sorted(analysis.states.items())]
    assert sorted(analysis.states) == list(range(len(states)))
    patterns, scanner_of = _scanners(parser)
    return {
        "format": FORMAT, "machine": MACHINE, "source": Path(HERE, f"{name}.lark").read_bytes(),
        "states": states, "starts": _plain(analysis.start_states), "accepting": _plain(analysis.end_states),
        "rules": [_rule(rule) for rule in rules],
        "ignored": sorted(str(name) for name in parser.ignore_tokens), "patterns": patterns, "scanner_of": scanner_of,
    }


def write(name: str, data: dict[str, Any], folder: str = HERE) -> Path:
    """Put the table beside its grammar. Atomic: a reader sees the old table or the new one."""
    target = Path(folder, f"{name}.table")
    partial = target.with_name(f".{name}.{os.getpid()}")
    partial.write_bytes(marshal.dumps(data))
    partial.replace(target)
    return target


def _plain(states: dict[Any, int]) -> dict[str, int]:
    return {str(start): state for start, state in states.items()}


def _rule(rule: Any) -> tuple[str, str, int, tuple[tuple[int, bool], ...] | None, bool]:
    """One rule as the driver has it; which children a rule keeps is said in Lark's "Tree Construction"."""
    origin, hidden = str(rule.origin.name), str(rule.origin.name).startswith("_")
    assert not (hidden and rule.alias), f"{origin}: an alias of a rule that is spread out"
    keep = tuple((index, not isinstance(symbol, Terminal) and str(symbol.name).startswith("_"))
                 for index, symbol in enumerate(rule.expansion)
                 if rule.options.keep_all_tokens or not (isinstance(symbol, Terminal) and symbol.filter_out))
    whole = len(keep) == len(rule.expansion) and not any(spread for _, spread in keep)
    action = "" if hidden else str(rule.alias or rule.options.template_source or origin)
    return origin, action, len(rule.expansion), None if whole else keep, bool(rule.options.expand1 and not rule.alias)


def _scanners(parser: Any) -> tuple[list[tuple[Any, ...]], list[int]]:
    """One regular expression for each set of terminals that some state accepts, and which state has which."""
    lexer = parser.parser.lexer
    assert isinstance(lexer, ContextualLexer)
    distinct: dict[int, int] = {}
    patterns: list[tuple[Any, ...]] = []
    basic: Any
    for basic in lexer.lexers.values():
        if id(basic) not in distinct:
            distinct[id(basic)] = len(patterns)
            patterns.append(_scanner(basic.terminals, basic.g_regex_flags))
    return patterns, [distinct[id(lexer.lexers[state])] for state in sorted(lexer.lexers)]


def _scanner(terminals: list[TerminalDef], flags: int) -> tuple[Any, ...]:
    """Pattern, flags, its code for this interpreter and what `_sre.compile` wants beside it, and the keywords.

    A fixed text that another terminal matches whole ("from" and a word) is not a branch of its own but looked up afterwards.
    """
    keywords: dict[str, dict[str, str]] = {}
    embedded = set()
    for general in terminals:
        for fixed in terminals:
            if not isinstance(general.pattern, PatternRE) or not isinstance(fixed.pattern, PatternStr) or fixed.priority != general.priority:
                continue
            text = fixed.pattern.value
            if re.fullmatch(general.pattern.to_regexp(), text, flags):
                assert text == text.lower() and ("i" in fixed.pattern.flags or text.upper() == text), f"{fixed.name} is not caseless"
                keywords.setdefault(str(general.name), {})[text] = str(fixed.name)
                embedded.add(fixed.name)
    pattern = "|".join(f"(?P<{t.name}>{t.pattern.to_regexp()})" for t in terminals if t.name not in embedded)
    expression: Any = re.compile(pattern, flags)
    names: list[str | None] = [None] * (expression.groups + 1)
    for group, index in expression.groupindex.items():
        names[index] = group
    tree = importlib.import_module("re._parser").parse(pattern, flags)
    code = importlib.import_module("re._compiler")._code(tree, flags)
    return pattern, int(expression.flags), [int(word) for word in code], expression.groups, dict(expression.groupindex), tuple(names), keywords
