"""A service's volume in one word -> its long form: `[SOURCE:]TARGET[:OPTIONS]`, on paths of Linux and of Windows."""

_PROPAGATION = frozenset(("private", "rprivate", "shared", "rshared", "slave", "rslave"))


def parse(text: str) -> "dict[str, object]":
    """The mount that `text` asks for; options that nobody knows are passed over, as compose does (see `unknown`).

    Raises ValueError.
    """
    if not text:
        raise ValueError("nothing is mounted")
    if len(text) <= 2:
        return {"type": "volume", "target": text}
    parts = _split(text)
    if not all(parts):
        raise ValueError("nothing stands between two colons")
    if len(parts) > 3:
        raise ValueError("too many colons")
    source, target = ("", parts[0]) if len(parts) == 1 else (parts[0], parts[1])
    volume: dict[str, object] = {"type": "bind" if is_path(source) else "volume"}
    if source:
        volume["source"] = source
    volume["target"] = clean(target)
    bind: dict[str, object] = {"create_host_path": True} if volume["type"] == "bind" else {}
    nocopy = False
    for option in parts[2].split(",") if len(parts) == 3 else ():
        if option in ("ro", "rw"):
            volume["read_only"] = option == "ro"
        elif option in ("nocopy", "volume-nocopy"):
            nocopy = True
        elif option in _PROPAGATION:
            bind["propagation"] = option
        elif option in ("z", "Z"):
            bind["selinux"] = option
    if volume.get("read_only") is False:
        del volume["read_only"]
    if bind or volume["type"] == "bind":
        volume["bind"] = bind
    if nocopy or volume["type"] == "volume":
        volume["volume"] = {"nocopy": True} if nocopy else {}
    return volume


def unknown(text: str) -> "list[str]":
    """The options of `text` that have no meaning."""
    parts = _split(text)
    known = _PROPAGATION | {"ro", "rw", "nocopy", "volume-nocopy", "z", "Z", "cached", "delegated", "consistent", ""}
    return [option for option in parts[2].split(",") if option not in known] if len(parts) == 3 else []


def is_path(source: str) -> bool:
    """Whether a volume's source is a path of the host; if not, it is the name of a volume."""
    return source[:1] in (".", "/", "~") or source.startswith("\\\\") or _drive(source)


def is_absolute_on_windows(path: str) -> bool:
    return path.startswith(("\\\\", "//")) or (_drive(path) and path[2:3] in ("\\", "/"))


def clean(path: str) -> str:
    """`path` without `.`, `..`, doubled and closing slashes."""
    if not path:
        return path
    kept: list[str] = []
    root = path[0] == "/"
    for part in path.split("/"):
        if part == ".." and (kept and kept[-1] != ".."):
            kept.pop()
        elif part == ".." and root:
            continue
        elif part not in ("", "."):
            kept.append(part)
    return ("/" if root else "") + "/".join(kept) or "."


def _drive(text: str) -> bool:
    return len(text) > 1 and text[0].isalpha() and text[1] == ":"


def _split(text: str) -> "list[str]":
    """`text` at its colons, but for those of drives and in `${...}`."""
    parts, begin, depth = [], 0, 0
    for index, character in enumerate(text):
        if text.startswith("${", index):
            depth += 1
        elif character == "}" and depth:
            depth -= 1
        elif character == ":" and not depth and not (index == begin + 1 and text[begin].isalpha()):
            parts.append(text[begin:index])
            begin = index + 1
    return [*parts, text[begin:]]
