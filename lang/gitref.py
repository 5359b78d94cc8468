"""Git sources: `https://host/repository.git#ref:directory` and the other ways to write one."""

from kernel.value import Value

SCHEMES = ("http", "https", "ssh", "git")
TRUE, FALSE = ("1", "t", "true"), ("0", "f", "false")


class GitRef(Value):
    """A place in a git repository. ref, subdirectory and checksum (of the commit, or its beginning) are "" where not given."""

    remote: str
    ref: str = ""
    subdirectory: str = ""
    checksum: str = ""
    keep_git_dir: "bool | None" = None
    submodules: "bool | None" = None
    fetch_by_commit: bool = False
    mtime: str = ""
    short: bool = False                                   # github.com/...: as a COPY source that is a path


def parse_git_ref(text: str) -> "GitRef | None":
    """The git source that `text` names, None if it names none.

    Raises ValueError where it is one that cannot be: also where a part of it would be taken for an option by git or ssh.
    """
    found = _parse(text)
    if found is not None:
        host = found.remote.partition("://")[2] or found.remote
        for part in (host, host.rpartition("@")[2], found.ref, found.checksum):
            if part.startswith("-"):
                raise ValueError(f"`{part}` in a git source begins with `-`")
    return found


def _parse(text: str) -> "GitRef | None":
    if text.startswith(("./", "../")):
        return None
    if text.startswith("github.com/"):
        remote, fragment = _cut(text, "#")
        return _with_fragment(GitRef(remote, short=True), fragment)
    scheme, separator, rest = text.partition("://")
    if separator:
        if scheme.lower() not in SCHEMES:
            return None
        remote, fragment = _cut(text, "#")
        remote, query = _cut(remote, "?")
        if scheme.lower() in ("http", "https") and not remote.partition("://")[2].partition("/")[2].endswith(".git"):
            return None
        if query and fragment:
            raise ValueError(f"both `?` and `#` in `{text}`")
        return _with_query(GitRef(remote), query) if query else _with_fragment(GitRef(remote), fragment)
    user, at, rest = text.partition("@")
    host, colon, path = rest.partition(":")
    if not (at and colon and path) or "/" in user or "/" in host or not user or not host or not _is_host(host):
        return None
    remote, fragment = _cut(text, "#")
    return _with_fragment(GitRef(remote), fragment)


def _is_host(host: str) -> bool:
    return host.isascii() and host.replace(".", "a").replace("-", "a").isalnum()


def _cut(text: str, mark: str) -> tuple[str, str]:
    head, _, tail = text.partition(mark)
    return head, tail


def _with_fragment(git: GitRef, fragment: str) -> GitRef:
    ref, _, directory = fragment.partition(":")
    return git._replace(ref=ref, subdirectory=_inside(directory))


def _inside(directory: str) -> str:
    """A directory of the repository: `..` does not leave it, no slashes around it."""
    parts: list[str] = []
    for part in directory.split("/"):
        if part == "..":
            del parts[-1:]
        elif part not in ("", "."):
            parts.append(part)
    return "/".join(parts)


def _with_query(git: GitRef, query: str) -> GitRef:
    found: dict[str, str] = {}
    for item in query.split("&"):
        name, _, value = item.partition("=")
        if name not in ("ref", "branch", "tag", "commit", "checksum", "subdir", "keep-git-dir", "submodules", "mtime", "fetch-by-commit"):
            raise ValueError(f"`{name}` is no part of a git source")
        name = "checksum" if name == "commit" else name
        value = _percent(value)
        if found.get(name, value) != value:
            raise ValueError(f"`{name}` is given twice")
        found[name] = value
    refs = [{"ref": "", "branch": "refs/heads/", "tag": "refs/tags/"}[name] + found[name] for name in ("ref", "branch", "tag") if name in found]
    if len(refs) > 1:
        raise ValueError("more than one of ref, branch and tag in a git source")
    return git._replace(ref=refs[0] if refs else "", subdirectory=_inside(found.get("subdir", "")), checksum=found.get("checksum", ""),
                        keep_git_dir=_bool(found, "keep-git-dir"), submodules=_bool(found, "submodules"), mtime=found.get("mtime", ""),
                        fetch_by_commit=bool(_bool(found, "fetch-by-commit")))


def _bool(found: dict[str, str], name: str) -> bool | None:
    value = found.get(name)
    if value is None:
        return None
    if value == "" or value.lower() in TRUE:
        return True
    if value.lower() in FALSE:
        return False
    raise ValueError(f"`{name}` is neither true nor false")


def _percent(text: str) -> str:
    if "%" not in text:
        return text
    from urllib.parse import unquote
    return unquote(text)
