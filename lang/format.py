"""Lays a Dockerfile out: text in, text out. What it says stays: the instructions read the same, comments stay where they are.

Instructions in capitals, one space between words, continuation lines indented by four; one empty line at most, one before each FROM.
The text of a command is left as it is, white space and all, for it is part of what the shell gets.
"""

from lang.errors import LangError
from lang.logical import SPACE
from lang.nodes import Raw, Word
from lang.parser import read
from lang.source import Source

INDENT = "    "
# instructions whose arguments are words that white space divides
WORDS = ("FROM", "EXPOSE", "ADD", "COPY", "VOLUME", "ENV", "LABEL", "ARG", "INCLUDE")


def format_text(source: Source) -> str:
    """The text of a Dockerfile, laid out.

    Raises LangError if it does not read. Law: format_text(format_text(text)) == format_text(text); `read` gives the same before and after.
    """
    text, raws = source.text, read(source)
    escape = _escape(source)
    out: list[str] = []
    at = 0
    for number, raw in enumerate(raws):
        begin = text.rfind("\n", 0, raw.span.start) + 1
        out += _between(text[at:begin], first=not out, space=raw.name == "FROM" and raw is not raws[0])
        bodies = [text[raw.heredocs[0].start:raw.span.end]] if raw.heredocs else []
        out += _laid_out(raw, text, escape, bodies, last=number == len(raws) - 1)
        end = text.find("\n", raw.span.end)
        at = len(text) if end < 0 else end + 1
    out += _between(text[at:], first=False, space=False)
    while out and not out[-1]:
        out.pop()
    found = "\n".join(out) + "\n"
    return "\ufeff" + found if found.startswith("\ufeff") else found      # an instruction that begins with what would be a mark of byte order


def _escape(source: Source) -> str:
    from lang.logical import Reader
    reader = Reader(source)
    try:
        reader.line()
    except LangError:
        pass
    return reader.escape


def _between(text: str, first: bool, space: bool) -> list[str]:
    """The lines between two instructions: comments, and one empty line where there are several."""
    text = text.removeprefix("\ufeff") if first else text
    lines = [line.strip(SPACE) for line in text.split("\n")[:-1] or ([text] if text else [])]
    out: list[str] = []
    for line in lines:
        if line or (out and out[-1]) or (not out and (not first or _hides_directive(lines))):
            out.append(line)
    if space and "" not in out:
        out.insert(0, "")
    return out


def _hides_directive(lines: list[str]) -> bool:
    """Whether the empty lines at the head of a file keep the comment after them from being a directive."""
    following = next((line for line in lines if line), "")
    return following.startswith("#") and "=" in following


def _laid_out(raw: Raw, text: str, escape: str, bodies: list[str], last: bool) -> list[str]:
    """The lines of an instruction with its heredocs: laid out, or as they are where that would read otherwise (an escape that ends a word)."""
    written = text[raw.span.start:raw.text.end].split("\n")
    for lines in (_instruction(raw, text, escape), [raw.name + written[0][len(raw.keyword.text):], *written[1:]]):
        if _reads_as(raw, [*lines, *bodies], escape, last):
            return [*lines, *bodies]
    return [*written, *bodies]


def _reads_as(raw: Raw, lines: list[str], escape: str, last: bool) -> bool:
    """Whether lines are an instruction that says the same as `raw`, and what follows them is none of it."""
    head = "# escape=`\n" if escape == "`" else ""
    try:
        found = read(Source("", "\n".join([head, *lines, *([] if last else ["NEXT"])])))
    except LangError:
        return False
    return len(found) == 2 - last and _meaning(found[0]) == _meaning(raw)


def _meaning(raw: Raw) -> object:
    """What an instruction says, without where it stands and without the case of keywords."""
    args = [word.text for word in raw.args]
    if raw.name == "FROM" and len(args) == 3:
        args[1] = args[1].upper()
    heredocs = [heredoc[:5] for heredoc in raw.heredocs]
    return raw.name, [flag.text for flag in raw.flags], args, raw.json, raw.legacy, heredocs, raw.child and _meaning(raw.child)


def _instruction(raw: Raw, text: str, escape: str) -> list[str]:
    """The lines of an instruction, without its heredocs."""
    lines = text[raw.span.start:raw.text.end].split("\n")
    plain = lines[0].startswith(raw.keyword.text) and not any("\n" in text[word.start:word.end] for word in (raw.keyword, *raw.flags, *raw.args))
    if raw.name in WORDS and plain and not raw.json and not raw.legacy:
        return _words(raw, text, lines, escape)
    if raw.json and plain and len(lines) == 1:
        return [_array(raw, text)]
    kept = [line for number, line in enumerate(lines) if number == 0 or line.strip(SPACE)]
    name, rest = raw.keyword.text, lines[0][len(raw.keyword.text):]
    kept[0] = f"{name.upper()} {rest.lstrip(' ' + chr(9))}".rstrip(" \t") if lines[0].startswith(name) else lines[0]
    return [_trimmed(line, last=number == len(kept) - 1, escape=escape) for number, line in enumerate(kept)]


def _trimmed(line: str, last: bool, escape: str) -> str:
    """A line without the white space at its end, which means nothing behind the escape character or at the end of the instruction."""
    if line.lstrip(SPACE).startswith("#"):
        return line.rstrip(SPACE)
    bare = line.rstrip("\r").rstrip(" \t")
    return bare if last or bare.endswith(escape) else line


def _words(raw: Raw, text: str, lines: list[str], escape: str) -> list[str]:
    """An instruction of words: those of a line stay in one line."""
    words = [(raw.keyword.start, raw.keyword.text.upper()), *((word.start, _written(raw, word, text)) for word in (*raw.flags, *raw.args))]
    if "--" in text[raw.span.start:raw.text.end].split():
        words += [(raw.text.at(at), "--") for at in _dashes(raw)]
    out: list[str] = []
    start = raw.span.start
    for number, line in enumerate(lines):
        bare = line.strip(SPACE)
        inside = [word for at, word in sorted(words) if start <= at < start + len(line) + 1]
        if inside:
            out.append((INDENT if number and out else "") + " ".join(inside))
        elif number and bare.startswith("#"):
            out.append(INDENT + bare if any(at >= start for at, _ in words) else bare)      # behind the last word it is none of this
        start += len(line) + 1
    ends = [number for number, line in enumerate(out) if not line.lstrip().startswith("#")]
    return [f"{line} {escape}" if number in ends[:-1] else line for number, line in enumerate(out)]


def _dashes(raw: Raw) -> list[int]:
    """Where the `--` is that ends the flags: before the arguments."""
    first = raw.args[0].start if raw.args else raw.text.end
    at = raw.text.text.find("--")
    while at >= 0:
        word = raw.text.text[at:].split(None, 1)[0]
        if word == "--" and raw.text.at(at) < first and raw.text.text[at - 1:at].isspace():
            return [at]
        at = raw.text.text.find("--", at + 2)
    return []


def _written(raw: Raw, word: Word, text: str) -> str:
    """A word as it is written; the AS of FROM in capitals."""
    if raw.name == "FROM" and len(raw.args) == 3 and word is raw.args[1] and word.text.lower() == "as":
        return "AS"
    return text[word.start:word.end]


def _array(raw: Raw, text: str) -> str:
    """An instruction of one line whose arguments are a JSON array."""
    first = raw.args[1:] if raw.name == "HEALTHCHECK" else raw.args
    before = text[raw.keyword.end:first[0].start if first else raw.text.end]
    head = before[:before.rindex("[")].split()
    items = ", ".join(text[word.start:word.end] for word in first)
    return " ".join([raw.name, *head, f"[{items}]"])
