"""What nobody should read: users and passwords in URLs, anywhere; values of variables named like secrets, in progress lines and answers.

A history has these values, as docker's has: lint says of such variables that an image gives them away.
"""

MASK = "xxxxx"
SECRET = {"apikey", "auth", "credential", "credentials", "key", "password", "pword", "passwd", "secret", "token"}
HARMLESS = {"public", "file", "version"}
ENDS = " \t\r\n\v\f/?#'\"`<>\\|"                          # what ends the authority of a URL in a text


def is_secret(name: str) -> bool:
    """Whether a variable of this name has a value that is nobody's business."""
    parts = set(name.lower().split("_"))
    return bool(parts & SECRET) and not parts & HARMLESS


def concealed(text: str, in_place: bool = False) -> str:
    """The text with a mask in the place of each password in a URL; and of each user of http and https, where that may be a token.

    in_place: masks as long as what they hide, so that columns stay.
    """
    if "@" not in text or "://" not in text:
        return text
    found, *rest = text.split("://")
    out = [found]
    for piece in rest:
        length = next((at for at, character in enumerate(piece) if character in ENDS), len(piece))
        user, at, _ = piece[:length].rpartition("@")
        if at:
            name, colon, password = user.partition(":")
            by_web = out[-1][-5:].lower().endswith(("http", "https"))
            shown = (_mask(name, in_place) if by_web else name) + colon + _mask(password, in_place)
            piece = shown + piece[len(user):]
        out += ["://", piece]
    return "".join(out)


def _mask(text: str, in_place: bool) -> str:
    if not text or text[0] == "$":                       # nothing to hide, or a variable's name
        return text
    return "x" * len(text) if in_place else MASK

