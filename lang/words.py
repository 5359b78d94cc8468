"""Words: quotes and `$`. A raw word and the variables go in, the text it stands for comes out.

grammar/words.lark is the syntax. The actions below work from the inside out, so that a default is expanded before its variable
is looked up: in this language it is, even if it is not needed.
"""

from grammar.driver import END, Unexpected, run, table
from lang.errors import BadWord
from lang.source import Source, Span

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

    # what a part of a word has become: ("$", value), ("quoted", text), ("double", parts), or a token of the grammar
    Part = tuple[Any, ...]

SPECIAL = "$'\"\\"                                        # a text without these characters is what it looks like
SWAP = str.maketrans("\\`", "`\\")
UNQUOTED = ("'", '"')


def expand(text: str, env: "Mapping[str, str]", escape: str = "\\", unset: "list[str] | None" = None) -> str:
    """The text that a word stands for: variables replaced, quotes removed, escapes applied. Nothing is split.

    escape: the character of `# escape=`.
    unset:  is given the names that were looked up and are not set, in order.
    Raises BadWord; its span counts from the start of `text`.
    """
    return text if _plain(text, escape) else _join(_run(text, env, escape, unset)[1], "", False)


def expand_words(text: str, env: "Mapping[str, str]", escape: str = "\\", unset: "list[str] | None" = None) -> "list[str]":
    """As `expand`, and split at white space that is not quoted or escaped: also at that of a value."""
    return split(text, _run(text, env, escape, unset)[1], "", False)


def expand_body(text: str, env: "Mapping[str, str]", unset: "list[str] | None" = None) -> str:
    """The body of a heredoc whose delimiter was not quoted: variables and escapes, but quotes are text."""
    if "$" not in text and "\\" not in text:
        return text
    return _join(_run(text, env, "\\", unset, start="body")[1], "", False)


def variables(text: str, escape: str = "\\") -> "list[str]":
    """The names that a word looks up, in order; those up to where it does not add up."""
    names: list[str] = []
    try:
        expand(text, {}, escape, names)
    except BadWord:
        pass
    return names


def show(text: str, env: "Mapping[str, str]", escape: str) -> str:
    """An instruction's text with the values of those variables that are set, for people; as it is if it does not add up."""
    try:
        return _join(_run(text, env, escape, None, keep=True)[1], "'\"", False)
    except BadWord:
        return text


def raw_words(text: str, quotes: bool = True, escapes: bool = True) -> "list[str]":
    """The words of a command line as the shell would see them, before it does anything: for finding heredocs.

    quotes, escapes: leave them in. Raises BadWord.
    """
    return split(text, _run(text, {}, "\\", None, keep=True)[1], "'\"" if quotes else "", escapes)


def split(text: str, parts: "list[Part]", quotes: str, escapes: bool) -> "list[str]":
    """Words out of parts: white space divides in plain text and in values."""
    words: list[str] = []
    word: list[str] = []
    for part in parts:
        text = _join([part], quotes, escapes)
        if part[0] in ("ESCAPED", "single", "double"):
            word.append(text)
            continue
        pieces = text.split()
        if text[:1].isspace() and any(word):
            words.append("".join(word))
            word = []
        for index, piece in enumerate(pieces):
            word.append(piece)
            if index < len(pieces) - 1 or text[-1:].isspace():
                words.append("".join(word))
                word = []
    if any(word):
        words.append("".join(word))
    return words


def _plain(text: str, escape: str) -> bool:
    return not ("$" in text or "'" in text or '"' in text or escape in text)


def _run(text: str, env: "Mapping[str, str]", escape: str, unset: "list[str] | None", start: str = "word", keep: bool = False) -> "Any":
    expansion = _Expansion(env, unset, swapped=escape == "`", keep=keep)
    try:
        return run(table("words"), text.translate(SWAP) if expansion.swapped else text, expansion.actions, start)
    except Unexpected as error:
        raise _refusal(error, text) from None


class _Expansion:
    """One expansion under way: what each rule of the grammar becomes."""

    __slots__ = ("actions", "env", "keep", "swapped", "unset")

    def __init__(self, env: "Mapping[str, str]", unset: "list[str] | None", swapped: bool, keep: bool) -> None:
        self.env = env
        self.unset = unset
        self.swapped = swapped                            # the text came with `\` and the escape character exchanged
        self.keep = keep                                  # a variable that is not set stays as it is written
        self.actions: dict[str, Callable[..., Part]] = {
            "variable": self.variable, "choice": self.choice, "trim": self.trim, "replace": self.replace,
            "single": self.single, "double": self.double,
        }
        if swapped:
            self.actions |= {"word": self.literal("word"), "operand": self.literal("operand"), "pattern": self.literal("pattern")}

    def literal(self, rule: str) -> "Callable[..., Part]":
        """An action that undoes the exchange in the tokens of a rule."""
        return lambda *parts: (rule, [self.unswap(part) for part in parts])

    def unswap(self, part: "Part") -> "Part":
        return (part[0], part[1].translate(SWAP), part[2]) if len(part) == 3 else part

    def value(self, name: str, at: int) -> "str | None":
        found = self.env.get(name)
        if found is None and self.unset is not None:
            self.unset.append(name)
        return found

    def variable(self, token: "Part") -> "Part":
        kind, text, at = token
        name = text[1:] if kind == "VARIABLE" else text
        rest = "" if name.isascii() else _after_name(name)
        name = name[:len(name) - len(rest)]
        if rest and kind == "NAME":
            raise _bad(f"`{rest[0]}` is no modifier", at + len(name), at + len(name) + 1)
        found = self.value(name, at)
        if found is None:
            found = "" if not self.keep else f"${name}" if kind == "VARIABLE" else f"${{{name}}}"
        return "$", found + rest

    def choice(self, *parts: "Part") -> "Part":
        (name, at), (operator, where), operand = _operands(parts)
        word = _join(operand[0], "", False)
        found = self.value(name, at)
        if self.keep and found is None:
            return "$", f"${{{name}{operator}{word}}}"
        missing = found is None or (operator[0] == ":" and not found)
        if operator[-1] == "-":
            return "$", word if missing else found
        if operator[-1] == "+":
            return "$", "" if missing else word
        if missing:
            problem = word or f"is not allowed to be {'unset' if found is None else 'empty'}"
            raise _bad(f"`{name}`: {problem}", at, where + len(operator))
        return "$", found

    def trim(self, *parts: "Part") -> "Part":
        (name, at), (sign, where), operand = _operands(parts)
        pattern = _join(operand[0], "", True)
        found = self.value(name, at)
        if found is None and self.keep:
            return "$", f"${{{name}{sign}{pattern}}}"
        longest = pattern[:1] == sign
        from lang.pattern import BadPattern, strip_prefix, strip_suffix
        strip = strip_prefix if sign == "#" else strip_suffix
        try:
            return "$", strip(pattern[1:] if longest else pattern, found or "", longest)
        except BadPattern as error:
            raise _bad(str(error), where, where + 1) from None

    def replace(self, *parts: "Part") -> "Part":
        (name, at), (sign, where), operand = _operands(parts)
        pattern, word = _join(operand[0], "", True), _join(operand[1], "", True)
        found = self.value(name, at)
        if found is None and self.keep:
            return "$", f"${{{name}/{pattern}/{word}}}"
        from lang.pattern import BadPattern, substitute
        try:
            return "$", substitute(pattern, word, found or "", every=sign == "//")
        except BadPattern as error:
            raise _bad(str(error), where, where + 1) from None

    def single(self, *raw: "Part") -> "Part":
        text = raw[0][1] if raw else ""
        return "single", text.translate(SWAP) if self.swapped else text

    def double(self, *parts: "Part") -> "Part":
        return "double", [self.unswap(part) for part in parts] if self.swapped else list(parts)


def _operands(parts: "tuple[Part, ...]") -> "tuple[tuple[str, int], tuple[str, int], list[list[Part]]]":
    """Name, operator and operands of an expansion; the name may be missing, and is then one that is never set."""
    named = parts[0][0] == "NAME"
    operator, where = parts[named][1:]
    name, at = parts[0][1:] if named else ("", where)
    if not named and operator[0] == ":":
        raise _bad("no name after `${`", where, where + 1)
    rest = "" if name.isascii() else _after_name(name)
    if rest:
        raise _bad(f"`{rest[0]}` is no modifier", at + len(name) - len(rest), at + len(name))
    return (name, at), (operator, where), [part[1] for part in parts[named + 1:]]


def _after_name(text: str) -> str:
    """What is left of a run of word characters when the letters and digits that a name has are taken."""
    for index, character in enumerate(text):
        if not (character.isalpha() or character.isdecimal() or character == "_"):
            return text[index:]
    return ""


def _join(parts: "list[Part]", quotes: str, escapes: bool) -> str:
    """The text of parts. quotes: those to leave in; escapes: leave the escape characters in, as a pattern wants them."""
    out: list[str] = []
    for part in parts:
        kind, text = part[0], part[1]
        if kind == "ESCAPED":
            out.append(text if escapes else text[1:])
        elif kind == "LONE":
            out.append(text if escapes else "")
        elif kind == "single":
            out.append(f"'{text}'" if "'" in quotes else text)
        elif kind == "double":
            mark = '"' if '"' in quotes else ""
            out.append(mark + "".join(_in_double(inner, escapes) for inner in text) + mark)
        else:
            out.append(text)
    return "".join(out)


def _in_double(part: "Part", escapes: bool) -> str:
    text: str = part[1]
    if part[0] != "ESCAPED":
        return text
    special = text[1] in "\"$" or text[1] == text[0]
    if escapes:
        return text if special else text[0] + text
    return text[1] if special else text


def _bad(message: str, start: int, end: int) -> BadWord:
    return BadWord(NOWHERE, Span(start, end), message)


NOWHERE = Source("", "")


def _refusal(error: Unexpected, text: str) -> BadWord:
    """What is wrong where the grammar does not go on, said of the innermost thing that is open."""
    tokens = [part for part in error.pending if isinstance(part, tuple) and len(part) == 3]
    last = next((number for number in range(len(tokens) - 1, -1, -1) if tokens[number][0] in ("OPEN", "SINGLE", "DOUBLE")), 0)
    opened, _, at = tokens[last]
    kinds = [kind for kind, _, _ in tokens[last:]]
    if opened in ("SINGLE", "DOUBLE"):
        return _bad(f"no closing `{text[at]}`", at, at + 1)
    if "REPLACE" in kinds and "SLASH" not in kinds:
        return _bad("no second `/` in `${name/pattern/word}`", at, at + 2)
    if error.found == END:
        return _bad("no closing `}`", at, at + 2)
    if error.offset == at + 2:
        return _bad("no name after `${`", error.offset, error.offset + 1)
    modifier = text[error.offset:error.offset + 1 + (text[error.offset] == ":")]
    return _bad(f"`{modifier}` is no modifier", error.offset, error.offset + len(modifier))
