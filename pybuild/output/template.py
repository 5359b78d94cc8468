"""The subset of Go templates that `--format` takes: text with `{{actions}}` in it, run over dicts, lists and scalars.

Actions: fields (`.Names`, `.Config.Env`, `$x.y`), methods (`.Label "x"`: fields whose values are functions), pipelines (`.ID | upper`), literals,
parentheses, calls (`json`, `join`, `upper`, `lower`, `title`, `len`, `index`, `slice`, `split`, `println`, `print`, `printf`, `truncate`,
`eq ne lt le gt ge and or not`), `if/else if/else/end`,
`range` (with variables and else), `with`, variables (`$x := ...`), comments, and trimming (`{{-`, `-}}`). Source: Go's text/template.
"""

from kernel.value import Value
from pybuild.scanner import Misuse

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any


class TemplateError(Misuse):
    """The template does not read, or does not fit what it is run over. `offset` is where in the text."""

    def __init__(self, message: str, text: str, offset: int) -> None:
        super().__init__(f"template: {message}", f"at `{text[offset:offset + 20]}`" if text[offset:] else "at its end")
        self.text, self.offset = text, offset


class Token(Value):
    kind: str                    # name, field, variable, string, number, punctuation
    text: str
    at: int


class Call(Value):
    """A pipeline: commands whose value is the last argument of the next; a command is a word with arguments."""

    commands: "tuple[tuple[Any, ...], ...]"
    variable: str = ""           # `$x := ` in front


class Action(Value):
    """kind: text, print, set, if, range, with. body/other: what is between, and after `else`."""

    kind: str
    text: str = ""
    pipeline: Call | None = None
    names: tuple[str, ...] = ()
    body: "tuple[Action, ...]" = ()
    other: "tuple[Action, ...]" = ()
    at: int = 0


def parse(text: str) -> tuple[Action, ...]:
    """Raises TemplateError."""
    pieces = list(_pieces(text))
    actions, end = _block(text, pieces, 0, ())
    if end < len(pieces):
        raise TemplateError("`end` or `else` without a beginning", text, pieces[end][1])
    return actions


def render(actions: tuple[Action, ...], data: "Any", text: str = "") -> str:
    """Run a parsed template over `data`."""
    out: list[str] = []
    _run(actions, data, {"$": data}, out, text)
    return "".join(out)


# ---------------------------------------------------------------- reading
def _pieces(text: str) -> "Iterator[tuple[bool, int, str]]":
    """(is an action, offset, text) in order, with `{{-` and `-}}` already applied."""
    at, trim = 0, False
    while True:
        start = text.find("{{", at)
        plain = text[at:] if start < 0 else text[at:start]
        if trim:
            plain = plain.lstrip()
        if start >= 0 and text[start + 2:start + 4] in ("- ", "-\t", "-\n"):
            plain = plain.rstrip()
        if plain:
            yield False, at, plain
        if start < 0:
            return
        end = _end_of_action(text, start + 2)
        inner = text[start + 2:end]
        trim = inner.endswith(("-",)) and inner[-2:-1].isspace()
        offset = start + 2
        if inner[:1] == "-" and inner[1:2].isspace():
            inner, offset = inner[1:], offset + 1
        if trim:
            inner = inner[:-1]
        if not inner.strip().startswith("/*"):
            yield True, offset, inner
        at = end + 2


def _end_of_action(text: str, at: int) -> int:
    quote = ""
    start = at
    while at < len(text):
        c = text[at]
        if quote:
            if c == "\\" and quote == '"':
                at += 1
            elif c == quote:
                quote = ""
        elif c in '"`':
            quote = c
        elif text.startswith("}}", at):
            return at
        at += 1
    raise TemplateError("`{{` is not closed", text, start - 2)


def _block(text: str, pieces: "list[tuple[bool, int, str]]", at: int, ends: tuple[str, ...]) -> "tuple[tuple[Action, ...], int]":
    """Actions up to (not including) one that starts with a word of `ends`, or to the end."""
    actions: list[Action] = []
    while at < len(pieces):
        is_action, offset, inner = pieces[at]
        word = inner.split(None, 1)[0] if is_action and inner.strip() else ""
        if not is_action:
            actions.append(Action("text", inner, at=offset))
        elif word in ("end", "else"):
            return tuple(actions), at
        elif word in ("if", "range", "with"):
            action, at = _compound(text, pieces, at, word)
            actions.append(action)
            continue
        else:
            tokens = _tokens(text, offset, inner)
            names, tokens = _assigned(tokens)
            actions.append(Action("set" if names else "print", pipeline=_pipeline(text, tokens, offset), names=names, at=offset))
        at += 1
    if ends:
        raise TemplateError("`{{end}}` is missing", text, len(text))
    return tuple(actions), at


def _compound(text: str, pieces: "list[tuple[bool, int, str]]", at: int, word: str, skip: int = 0) -> tuple[Action, int]:
    _, offset, inner = pieces[at]
    start = inner.index(word, skip) + len(word)
    names, tokens = _assigned(_tokens(text, offset + start, inner[start:]))
    pipeline = _pipeline(text, tokens, offset)
    body, end = _block(text, pieces, at + 1, ("end", "else"))
    other: tuple[Action, ...] = ()
    if end >= len(pieces):
        raise TemplateError("`{{end}}` is missing", text, len(text))
    words = pieces[end][2].split()
    if words[0] == "else":
        if len(words) > 1:
            nested, end = _compound(text, pieces, end, words[1], pieces[end][2].index("else") + 4)
            return Action(word, pipeline=pipeline, names=names, body=body, other=(nested,), at=offset), end
        other, end = _block(text, pieces, end + 1, ("end",))
        if end >= len(pieces):
            raise TemplateError("`{{end}}` is missing", text, len(text))
    return Action(word, pipeline=pipeline, names=names, body=body, other=other, at=offset), end + 1


def _assigned(tokens: list[Token]) -> "tuple[tuple[str, ...], list[Token]]":
    """`$a, $b := rest` -> (("$a", "$b"), rest)."""
    for index, token in enumerate(tokens):
        if token.text in (":=", "="):
            return tuple(t.text for t in tokens[:index] if t.kind == "variable"), tokens[index + 1:]
    return (), tokens


def _tokens(text: str, offset: int, inner: str) -> list[Token]:
    found, at = [], 0
    while at < len(inner):
        c, start = inner[at], at
        if c.isspace():
            at += 1
            continue
        if c in '"`':
            at = _string_end(inner, at)
            body = inner[start + 1:at - 1]
            found.append(Token("string", _unescape(body) if c == '"' else body, offset + start))
            continue
        if c in ".$" or c.isalpha() or c == "_":
            at += 1
            while at < len(inner) and (inner[at].isalnum() or inner[at] in "_."):
                at += 1
            found.append(Token({".": "field", "$": "variable"}.get(c, "name"), inner[start:at], offset + start))
            continue
        if c.isdigit() or (c == "-" and inner[at + 1:at + 2].isdigit()):
            at += 1
            while at < len(inner) and inner[at].isdigit():
                at += 1
            found.append(Token("number", inner[start:at], offset + start))
            continue
        at += 2 if inner.startswith(":=", at) else 1
        if inner[start:at] not in ("(", ")", "|", ",", ":=", "="):
            raise TemplateError(f"unexpected `{inner[start:at]}`", text, offset + start)
        found.append(Token("punctuation", inner[start:at], offset + start))
    return found


def _string_end(inner: str, at: int) -> int:
    quote, at = inner[at], at + 1
    while inner[at] != quote:                            # _end_of_action has seen that it is closed
        at += 2 if inner[at] == "\\" and quote == '"' else 1
    return at + 1


def _unescape(body: str) -> str:
    out, at = [], 0
    while at < len(body):
        if body[at] == "\\" and at + 1 < len(body):
            out.append({"n": "\n", "t": "\t", "r": "\r"}.get(body[at + 1], body[at + 1]))
            at += 2
        else:
            out.append(body[at])
            at += 1
    return "".join(out)


def _pipeline(text: str, tokens: list[Token], offset: int) -> Call:
    commands, rest = [], tokens
    while True:
        command, rest = _command(text, rest)
        if not command:
            raise TemplateError("an action is empty", text, rest[0].at if rest else offset)
        commands.append(command)
        if not rest or rest[0].text != "|" or rest[0].kind != "punctuation":
            break
        rest = rest[1:]
    if rest:
        raise TemplateError(f"unexpected `{rest[0].text}`", text, rest[0].at)
    return Call(tuple(commands))


def _command(text: str, tokens: list[Token]) -> "tuple[tuple[Any, ...], list[Token]]":
    """Operands up to `|` or the end; a parenthesis is a nested pipeline."""
    operands: list[Any] = []
    while tokens and not (tokens[0].kind == "punctuation" and tokens[0].text in ("|", ")")):
        token = tokens[0]
        if token.text == "(" and token.kind == "punctuation":
            end = _closing(text, tokens)
            nested: Any = _pipeline(text, tokens[1:end], token.at)
            tokens = tokens[end + 1:]
            if tokens and tokens[0].kind == "field" and tokens[0].text != ".":
                nested, tokens = (nested, tokens[0]), tokens[1:]
            operands.append(nested)
        else:
            operands.append(token)
            tokens = tokens[1:]
    return tuple(operands), tokens


def _closing(text: str, tokens: list[Token]) -> int:
    """Where the parenthesis that begins `tokens` is closed."""
    depth = 0
    for index, token in enumerate(tokens):
        if token.kind == "punctuation":
            depth += (token.text == "(") - (token.text == ")")
        if not depth:
            return index
    raise TemplateError("`(` is not closed", text, tokens[0].at)


# ---------------------------------------------------------------- running
def _run(actions: tuple[Action, ...], dot: "Any", scope: "dict[str, Any]", out: list[str], text: str) -> None:
    for action in actions:
        if action.kind == "text":
            out.append(action.text)
            continue
        assert action.pipeline is not None
        value = _value(action.pipeline, dot, scope, text)
        if action.kind == "print":
            out.append(show(value))
        elif action.kind == "set":
            scope[action.names[0]] = value
        elif action.kind == "range":
            _range(action, value, dot, scope, out, text)
        elif value not in (None, "", 0, False, [], {}, ()):
            inner = {**scope, **dict.fromkeys(action.names, value)}
            _run(action.body, value if action.kind == "with" else dot, inner, out, text)
        else:
            _run(action.other, dot, dict(scope), out, text)


def _range(action: Action, value: "Any", dot: "Any", scope: "dict[str, Any]", out: list[str], text: str) -> None:
    if isinstance(value, dict):
        pairs: list[tuple[Any, Any]] = [(k, value[k]) for k in sorted(value)]
    elif isinstance(value, list | tuple):
        pairs = list(enumerate(value))
    elif value is None:
        pairs = []
    else:
        raise TemplateError(f"`range` over `{show(value)}`, which is no list", text, action.at)
    for key, item in pairs:
        inner = dict(scope)
        if len(action.names) == 1:
            inner[action.names[0]] = item
        elif action.names:
            inner[action.names[0]], inner[action.names[1]] = key, item
        _run(action.body, item, inner, out, text)
    if not pairs:
        _run(action.other, dot, dict(scope), out, text)


def _value(call: Call, dot: "Any", scope: "dict[str, Any]", text: str) -> "Any":
    value, piped = None, False
    for command in call.commands:
        first = command[0]
        extra = [value] if piped else []
        if isinstance(first, Token) and first.kind == "name" and first.text not in ("true", "false", "nil"):
            value = _call(first, [_operand(o, dot, scope, text) for o in command[1:]] + extra, text)
        elif len(command) > 1 or extra:
            method = _field(first, dot, scope, text) if isinstance(first, Token) and first.kind in ("field", "variable") else None
            if not isinstance(first, Token) or not callable(method):
                at = first.at if isinstance(first, Token) else 0
                raise TemplateError(f"`{first.text if isinstance(first, Token) else '('}` is no function", text, at)
            value = _apply(method, first, [_operand(o, dot, scope, text) for o in command[1:]] + extra, text)
        else:
            value = _operand(first, dot, scope, text)
        piped = True
    return value


def _operand(operand: "Any", dot: "Any", scope: "dict[str, Any]", text: str) -> "Any":
    if isinstance(operand, Call):
        return _value(operand, dot, scope, text)
    if type(operand) is tuple:
        return _fields(_value(operand[0], dot, scope, text), operand[1].text, operand[1], text)
    token: Token = operand
    if token.kind == "string":
        return token.text
    if token.kind == "number":
        return int(token.text)
    if token.kind in ("field", "variable"):
        value = _field(token, dot, scope, text)
        return _apply(value, token, [], text) if callable(value) else value
    if token.text in ("true", "false", "nil"):
        return {"true": True, "false": False}.get(token.text)
    return _call(token, [], text)


def _field(token: Token, dot: "Any", scope: "dict[str, Any]", text: str) -> "Any":
    if token.kind == "field":
        return _fields(dot, token.text, token, text)
    name, dot_, rest = token.text.partition(".")
    if name not in scope:
        raise TemplateError(f"variable `{name}` is not set", text, token.at)
    return _fields(scope[name], dot_ + rest, token, text)


def _fields(value: "Any", path: str, token: Token, text: str) -> "Any":
    for name in path.split("."):
        if not name:
            continue
        if isinstance(value, dict):
            if name not in value and value and not _is_map(value):
                raise TemplateError(f"there is no field `{name}` (there are {', '.join(sorted(value))})", text, token.at)
            value = value.get(name)
        elif value is None:
            return None
        else:
            raise TemplateError(f"`{show(value)[:40]}` has no field `{name}`", text, token.at)
    return value


def _is_map(value: "dict[str, Any]") -> bool:
    """A map of the user's own keys (labels, ports), where a missing key is empty; a record of ours has capitalised fields only."""
    return not all(k[:1].isupper() for k in value)


def _call(token: Token, args: "list[Any]", text: str) -> "Any":
    function = _FUNCTIONS.get(token.text)
    if function is None:
        raise TemplateError(f"there is no function `{token.text}`", text, token.at)
    return _apply(function, token, args, text)


def _apply(function: "Callable[..., Any]", token: Token, args: "list[Any]", text: str) -> "Any":
    try:
        return function(*args)
    except TemplateError:
        raise
    except (TypeError, ValueError, IndexError, KeyError, AttributeError) as error:
        raise TemplateError(f"`{token.text}` does not take {', '.join(f'`{show(a)[:30]}`' for a in args) or 'nothing'}", text, token.at) from error


def show(value: "Any") -> str:
    """A value as Go prints it."""
    if value is None:
        return "<no value>"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Struct):
        return "{" + " ".join(show(field) for field in value.values()) + "}"
    if isinstance(value, dict):
        return "map[" + " ".join(f"{k}:{show(value[k])}" for k in sorted(value) if not callable(value[k])) + "]"
    if isinstance(value, list | tuple):
        return "[" + " ".join(show(v) for v in value) + "]"
    return str(value)


class NoList(list[object]):
    """What Go has for a list that there is not: printed as an empty one, `null` in JSON."""


class Struct(dict[str, object]):
    """What Go has as a struct: printed without the names of its fields, an object in JSON."""


class NoMap(dict[str, object]):
    """What Go has for a map that there is not."""


class NoText(str):
    """What Go has for a text that there is not: in JSON, its field is left out."""


def to_json(value: "Any") -> str:
    import json

    return json.dumps(_plain(value), separators=(",", ":"), ensure_ascii=False)


def _plain(value: "Any") -> "Any":
    """The same without fields that there are not, and without methods."""
    if isinstance(value, NoList | NoMap):
        return None
    if isinstance(value, dict):
        return {k: _plain(v) for k, v in value.items() if not (isinstance(v, NoList | NoMap | NoText) or callable(v))}
    return [_plain(v) for v in value] if isinstance(value, list | tuple) else value


def _index(value: "Any", *keys: "Any") -> "Any":
    for key in keys:
        value = value.get(key, "") if isinstance(value, dict) else value[key]
    return value


def _printf(form: str, *args: "Any") -> str:
    out, rest, at = [], list(args), 0
    while at < len(form):
        if form[at] != "%":
            out.append(form[at])
            at += 1
            continue
        end = at + 1
        while end < len(form) and form[end] in "-+ 0123456789.#":
            end += 1
        verb, flags = form[end:end + 1], form[at:end]
        if verb == "%":
            out.append("%")
        elif verb == "q":
            out.append(to_json(rest.pop(0)))
        elif verb in ("d", "x", "X", "o", "f"):
            out.append((flags + verb) % rest.pop(0))
        else:
            out.append((flags + "s") % show(rest.pop(0)))
        at = end + 1
    return "".join(out)


def _truth(value: "Any") -> bool:
    return bool(value)


_FUNCTIONS: "dict[str, Callable[..., Any]]" = {
    "json": to_json,
    "join": lambda items, by: by.join(show(i) for i in items),
    "split": lambda text, by: text.split(by),
    "upper": lambda text: show(text).upper(),
    "lower": lambda text: show(text).lower(),
    "title": lambda text: show(text).title(),
    "len": len,
    "index": _index,
    "slice": lambda value, start=0, end=None: value[start:end],
    "truncate": lambda text, length: show(text)[:length],
    "pad": lambda text, before, after: " " * before + show(text) + " " * after,
    "print": lambda *args: " ".join(show(a) for a in args),
    "println": lambda *args: " ".join(show(a) for a in args) + "\n",
    "printf": _printf,
    "eq": lambda a, *others: any(a == b for b in others),
    "ne": lambda a, b: a != b,
    "lt": lambda a, b: a < b,
    "le": lambda a, b: a <= b,
    "gt": lambda a, b: a > b,
    "ge": lambda a, b: a >= b,
    "and": lambda *args: next((a for a in args if not _truth(a)), args[-1]),
    "or": lambda *args: next((a for a in args if _truth(a)), args[-1]),
    "not": lambda a: not _truth(a),
}
