"""The commands in the text of a RUN: enough of a shell's grammar to see which programs are started with which words."""

from kernel.value import Value
from lang.nodes import Exec, Run

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

KEYWORDS = {"if", "then", "else", "elif", "while", "until", "do", "!", "{", "time", "exec", "command", "env", "nohup"}
SHELLS = {"sh", "bash", "dash", "ash", "zsh", "ksh"}
SEPARATORS = ";&|()\n`"


class Piece(Value):
    """A word of a command, without its quotes, and where it stands in the source."""

    text: str
    start: int
    end: int


class Invocation(Value):
    """A program and its arguments. piped: its output goes into another command."""

    words: "tuple[Piece, ...]"
    piped: bool

    @property
    def program(self) -> str:
        return self.words[0].text.rpartition("/")[2]

    @property
    def arguments(self) -> "tuple[str, ...]":
        return tuple(word.text for word in self.words[1:])

    @property
    def operands(self) -> "tuple[Piece, ...]":
        """The arguments that are no flags."""
        return tuple(word for word in self.words[1:] if not word.text.startswith("-"))

    def flag(self, *names: str) -> bool:
        """Whether one of these flags is given: `-y` also within `-qy`, `--name` also with a value."""
        for text in self.arguments:
            if any(text == name or text.startswith(name + "=") for name in names):
                return True
            if text.startswith("-") and not text.startswith("--") and any(len(name) == 2 and name[1] in text for name in names):
                return True
        return False


def invocations(run: Run) -> "list[Invocation]":
    """The commands of a RUN, in order; those inside of others too."""
    if isinstance(run.command, Exec):
        argv = run.command.argv
        if len(argv) == 3 and argv[0].text.rpartition("/")[2] in SHELLS and argv[1].text.endswith("c"):
            return _parse(argv[2].text, lambda offset: argv[2].start)
        words = tuple(Piece(word.text, word.start, word.end) for word in argv)
        return [Invocation(words, False)] if words else []
    from lang.heredoc import is_alone
    text = run.command.text
    if run.raw.heredocs and is_alone(text.text):
        body = run.raw.heredocs[0]
        if body.content.startswith("#!"):
            return []
        return _parse(body.content, lambda offset: body.start + offset)
    return _parse(text.text, text.at)


def script(run: Run) -> str:
    """The text that the shell of a RUN gets, "" without a shell."""
    return "" if isinstance(run.command, Exec) else run.command.text.text + "".join(heredoc.content for heredoc in run.raw.heredocs)


def _parse(text: str, place: "Callable[[int], int]") -> "list[Invocation]":
    found: list[Invocation] = []
    words: list[Piece] = []
    word: list[str] = []
    begin, at, quoted = -1, 0, False

    def end_word() -> None:
        nonlocal begin, quoted
        if begin >= 0:
            words.append(Piece("".join(word), place(begin), place(at - 1) + 1))
        word.clear()
        begin, quoted = -1, False

    def end_command(piped: bool) -> None:
        end_word()
        plain = _plain(words)
        if plain:
            found.append(Invocation(plain, piped))
        words.clear()

    while at < len(text):
        character = text[at]
        if character in " \t\r":
            end_word()
        elif character == "#" and begin < 0:
            at = text.find("\n", at)
            at = len(text) if at < 0 else at
            continue
        elif character == "&" and (text[at - 1:at] in (">", "<") or text[at + 1:at + 2] == ">"):
            begin = at if begin < 0 else begin
            word.append(character)
        elif character in SEPARATORS:
            end_command(character == "|" and text[at + 1:at + 2] != "|" and text[at - 1:at] not in ("|", ">"))
        else:
            begin = at if begin < 0 else begin
            at = _take(text, at, word)
            continue
        at += 1
    end_command(False)
    return found


def _take(text: str, at: int, word: "list[str]") -> int:
    """One character of a word, one escape or one quoted part; where the next begins."""
    character = text[at]
    if character == "\\":
        word.append(text[at + 1:at + 2])
        return at + 2
    if character not in "'\"":
        word.append(character)
        return at + 1
    at += 1
    while at < len(text) and text[at] != character:
        if text[at] == "\\" and character == '"':
            at += 1
        word.append(text[at:at + 1])
        at += 1
    return at + 1


def _plain(words: "list[Piece]") -> "tuple[Piece, ...]":
    """The words of a command without what stands before its program: keywords, assignments."""
    first = 0
    while first < len(words):
        text = words[first].text
        name, equals, _ = text.partition("=")
        if not (text in KEYWORDS or (equals and name.replace("_", "a").isalnum() and not name[:1].isdigit())):
            break
        first += 1
    return tuple(words[first:])
