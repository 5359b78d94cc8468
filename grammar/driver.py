"""Runs compiled grammars: a table and a text go in, what the actions make of each rule comes out.

A grammar is `<name>.lark`; Lark compiles it to `<name>.table` when the wheel is built, or on first use in a checkout, where a
table made of another text counts as missing. LALR with a lexer that knows the parser's state, as Lark has it: grammar, choice of
token and tree are the same (tests/grammar holds the two against each other), in a thirtieth of Lark's start-up time.

    >>> run(table("interpolation"), "a${B:-c}")
    ('template', [('TEXT', 'a', 0), ('choice', [('NAME', 'B', 3), ('OPERATOR', ':-', 4), ('template', [('TEXT', 'c', 6)])])])
    >>> run(table("interpolation"), "$B", {"variable": lambda name: name[1].lower(), "template": lambda *parts: "".join(parts)})
    'b'
"""

import _sre  # type: ignore[import-not-found]
import marshal
import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

    Token = tuple[str, str, int]                          # kind, text, offset
    # origin, action ("" when its children join the parent's), length, the children to keep and whether to spread each (None: all
    # as they are), whether an only child stands for the whole
    Rule = tuple[str, str, int, tuple[tuple[int, bool], ...] | None, bool]

FORMAT = 1
HERE = os.path.dirname(os.path.abspath(__file__))
END = "$END"
# regular expressions come compiled, which saves the 5 ms of importing `re`, for the kind of interpreter that made the table
MACHINE = f"{sys.implementation.cache_tag} {_sre.MAGIC} {_sre.CODESIZE}"


class Unexpected(Exception):
    """No rule goes on with what stands at `offset`: `found` is the token's kind, END, or "" where no token begins.

    pending: the tokens and values that had been read and not yet joined: what was open.
    """

    def __init__(self, offset: int, found: str, expected: "frozenset[str]", pending: "tuple[Any, ...]") -> None:
        super().__init__(offset, found, expected)
        self.offset = offset
        self.found = found
        self.expected = expected
        self.pending = pending

    def __str__(self) -> str:
        return f"unexpected {self.found or 'character'} at {self.offset}, expected {', '.join(sorted(self.expected))}"


class Table:
    """A compiled grammar. `states[s]` maps a symbol to the next state, or to ~r: reduce by rule r."""

    __slots__ = ("_native", "_patterns", "accepting", "ignored", "rules", "scanner_of", "scanners", "starts", "states")

    def __init__(self, data: "dict[str, Any]") -> None:
        self.states: list[dict[str, int]] = data["states"]
        self.rules: list[Rule] = data["rules"]
        self.starts: dict[str, int] = data["starts"]
        self.accepting: dict[str, int] = data["accepting"]
        self.ignored: frozenset[str] = frozenset(data["ignored"])
        self.scanner_of: list[int] = data["scanner_of"]
        self._patterns: list[tuple[Any, ...]] = data["patterns"]
        self.scanners: list[tuple[Callable[..., Any], dict[str, dict[str, str]]] | None] = [None] * len(self._patterns)
        self._native: bool = data["machine"] == MACHINE

    def scanner(self, state: int) -> "tuple[Callable[..., Any], dict[str, dict[str, str]]]":
        """The matcher of the tokens that may come next in `state`, and the keywords among them: kind -> lower-case text -> kind."""
        index = self.scanner_of[state]
        pattern, flags, code, groups, group_of, names, keywords = self._patterns[index]
        if self._native:
            expression = _sre.compile(pattern, flags, code, groups, group_of, names)
        else:
            import re
            expression = re.compile(pattern, flags)
        found = self.scanners[index] = (expression.match, keywords)
        return found


_tables: "dict[str, Table]" = {}


def table(name: str) -> Table:
    """The table of grammar `name`, compiled now if there is none that was made of the `.lark` beside it."""
    found = _tables.get(name)
    if found is None:
        found = _tables[name] = Table(_load(name) or _compile(name))
    return found


def _load(name: str, folder: str = HERE) -> "dict[str, Any] | None":
    source = _read(folder, f"{name}.lark")
    try:
        data = marshal.loads(_read(folder, f"{name}.table"))
    except (EOFError, ValueError, TypeError):
        return None
    fresh = isinstance(data, dict) and data.get("format") == FORMAT and (not source or data["source"] == source)
    return data if fresh else None


def _compile(name: str) -> "dict[str, Any]":
    from grammar.compiler import compile_grammar, write
    data = compile_grammar(name)
    try:
        write(name, data)
    except OSError:
        pass                                              # a tree that we may not write to: compiled again next time
    return data


def _read(folder: str, name: str) -> bytes:
    try:
        with open(os.path.join(folder, name), "rb") as file:
            return file.read()
    except FileNotFoundError:
        return b""


def run(table: Table, text: str, actions: "Mapping[str, Callable[..., Any]] | None" = None, start: str = "") -> "Any":
    """Parse `text` and return what the action of its outermost rule made of it.

    actions: rule (or alias) name -> function of its children; a rule without one becomes (name, [children]).
             A child is a token (kind, text, offset) or what another action returned.
    start:   the rule to begin with; may be left out where the grammar has one.
    Raises Unexpected. Never recurses: the depth of `text` is bounded by memory only.
    """
    actions = actions or {}
    start = start or next(iter(table.starts))
    states, rules, scanners, scanner_of, ignored = table.states, table.rules, table.scanners, table.scanner_of, table.ignored
    accepting, state = table.accepting[start], table.starts[start]
    stack = [state]
    values: list[Any] = []
    offset, end = 0, len(text)
    while True:
        if offset < end:
            match, keywords = scanners[scanner_of[state]] or table.scanner(state)
            found = match(text, offset)
            if found is None:
                raise Unexpected(offset, "", _terminals(states[state]), tuple(values))
            kind, word = found.lastgroup, found.group()
            following = offset + len(word)
            if kind in ignored:
                offset = following
                continue
            if kind in keywords:
                kind = keywords[kind].get(word.lower(), kind)
        else:
            kind, word, following = END, "", offset
        while (action := states[state].get(kind)) is None or action < 0:
            if action is None:
                raise Unexpected(offset, kind, _terminals(states[state]), tuple(values))
            origin, name, length, keep, single = rules[~action]
            children: list[Any] = []
            if length:
                children = values[-length:]
                del values[-length:], stack[-length:]
                if keep is not None:
                    kept: list[Any] = []
                    for index, spread in keep:
                        if not spread:
                            kept.append(children[index])
                        elif kept:
                            kept += children[index]
                        else:
                            kept = children[index]        # grows in place: a list of n is not copied n times
                    children = kept
            if not name:
                value: Any = children
            elif single and len(children) == 1:
                value = children[0]
            else:
                made = actions.get(name)
                value = made(*children) if made else (name, children)
            state = states[stack[-1]][origin]
            stack.append(state)
            values.append(value)
            if state == accepting and kind is END:
                return value
        state = action
        stack.append(state)
        values.append((kind, word, offset))
        offset = following


def _terminals(row: "dict[str, int]") -> "frozenset[str]":
    return frozenset(symbol for symbol in row if symbol.isupper())
