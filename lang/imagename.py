"""Names of images, as far as the language cares: whether one can be one, and the short form that named contexts go by.

What a reference means to a registry is store's business.
"""

LOWER = "abcdefghijklmnopqrstuvwxyz"
DIGITS = "0123456789"
WORD = LOWER + LOWER.upper() + DIGITS + "_"


def problem(name: str) -> str:
    """What is wrong with `name` as an image's name, "" if nothing is."""
    if "://" in name:
        return f"`{name}` is a URL, not the name of an image"
    rest, at, digest = name.partition("@")
    if at and not _is_digest(digest):
        return f"`{digest}` is no digest" if digest else f"no digest after the `@` of `{name}`"
    path, tag = _tag(rest)
    if tag == "":
        return f"no tag after the `:` of `{name}`"
    if tag is not None and not (tag and tag[0] in WORD and not tag.strip(WORD + ".-") and len(tag) <= 128):
        return f"`{tag}` is no tag"
    domain, path = _domain(path)
    if not path:
        return f"`{name}` is no name of an image"
    if path != path.lower():
        return f"`{path}` is no name of an image: it has capitals"
    if len(path) > 255 or not all(_is_component(part) for part in path.split("/")):
        return f"`{name}` is no name of an image"
    if domain and not _is_domain(domain):
        return f"`{domain}` is no name of a registry"
    return ""


def familiar(name: str) -> str:
    """The short form: no `docker.io/library/`, no `:latest`."""
    rest, at, digest = name.partition("@")
    path, tag = _tag(rest)
    domain, path = _domain(path)
    if domain in ("docker.io", "index.docker.io"):
        domain, path = "", path.removeprefix("library/")
    short = f"{domain}/{path}" if domain else path
    if tag is not None and (tag != "latest" or at):
        short += f":{tag}"
    return short + at + digest


def _tag(text: str) -> tuple[str, str | None]:
    head, colon, tag = text.rpartition(":")
    return (head, tag) if colon and "/" not in tag else (text, None)


def _domain(path: str) -> tuple[str, str]:
    first, slash, rest = path.partition("/")
    if slash and ("." in first or ":" in first or first == "localhost" or first != first.lower()):
        return first, rest
    return "", path


def _is_domain(domain: str) -> bool:
    host, colon, port = domain.rpartition(":")
    if colon and not domain.endswith("]"):
        if not (port.isascii() and port.isdecimal()):
            return False
        domain = host
    if domain.startswith("[") and domain.endswith("]"):
        return not domain[1:-1].strip("0123456789abcdefABCDEF:")
    return all(part and not part.strip(WORD.replace("_", "") + "-") and part[0] != "-" != part[-1] for part in domain.split("."))


def _is_component(part: str) -> bool:
    """Letters and digits, with one `.`, one or two `_`, or any number of `-` between them."""
    if not part or part[0] not in LOWER + DIGITS or part[-1] not in LOWER + DIGITS or part.strip(LOWER + DIGITS + "._-"):
        return False
    run = ""
    for character in part:
        if character in "._-":
            run += character
        else:
            if run and not (run in (".", "_", "__") or not run.strip("-")):
                return False
            run = ""
    return True


def _is_digest(text: str) -> bool:
    algorithm, colon, value = text.partition(":")
    length = {"sha256": 64, "sha384": 96, "sha512": 128}.get(algorithm, 0)
    return bool(colon) and len(value) == length and not value.strip(DIGITS + "abcdef")
