"""A command line in one string -> its words, as compose splits it: quotes and backslashes, but no shell."""

_SPACE = frozenset(" \t\r\n")
_STOPS = frozenset(";&|<>")


def split(text: str) -> "tuple[tuple[str, ...], str]":
    """The words of `text`, and what of it was left out.

    Compose reads a command only up to the first unquoted `;`, `&`, `|`, `<` or `>`; a backslash takes the next character as it is,
    in double quotes too; between `$(` and `)` and between backquotes spaces do not end a word.
    Raises ValueError.
    """
    words: list[str] = []
    word: list[str] = []
    begun = escaped = False
    quote = ""                                            # the character that ends the quotation we are in
    for index, character in enumerate(text):
        if escaped:
            word.append(character)
            escaped, begun = False, True
        elif character == "\\" and quote != "'":
            escaped = True
        elif character in _SPACE and not quote:
            if begun:
                words.append("".join(word))
                word, begun = [], False
        elif character == quote:
            quote, begun = "", True
            if character in "`)":
                word.append(character)
        elif quote:
            word.append(character)
            begun = True
        elif character in "'\"`":
            quote, begun = character, begun or character == "`"
            if character == "`":
                word.append(character)
        elif character in "()":
            if character == ")" or word[-1:] != ["$"]:
                raise ValueError(f"`{character}` outside of quotes")
            word.append(character)
            quote = ")"
        elif character in _STOPS:
            if character == ">" and word and word[0].isdigit():
                begun = False
            return (*words, *(["".join(word)] if begun else [])), text[index:]
        else:
            word.append(character)
            begun = True
    if escaped or quote:
        raise ValueError("a backslash at its end" if escaped else f"a `{quote}` too few")
    return (*words, *(["".join(word)] if begun else [])), ""
