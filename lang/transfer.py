"""COPY and ADD: sources told apart, the destination joined to the working directory, flags read."""

from posixpath import normpath

from lang.chmod import Chmod, parse_chmod
from lang.confidential import concealed
from lang.errors import BadWord
from lang.evaluate import joined
from lang.nodes import Add, Copy, Heredoc, Word
from lang.steps import CopyStep, GitSource, InlineSource, Owner, PathSource, UrlSource

TYPE_CHECKING = False
if TYPE_CHECKING:
    from lang.evaluate import Walk
    from lang.gitref import GitRef
    from lang.steps import CopySource


def transfer(it: "Copy | Add", walk: "Walk") -> CopyStep:
    """The step that a COPY or ADD is, as seen from where the walk has come to. Raises SyntaxFault, BadWord."""
    add = isinstance(it, Add)
    owner, chmod = walk.optional(it.chown), walk.optional(it.chmod)
    excludes = tuple(_exclude(word, walk) for word in it.excludes)
    parents = isinstance(it, Copy) and it.parents
    bodies = {} if it.raw.json else {heredoc.name: heredoc for heredoc in it.raw.heredocs}
    paths: list[CopySource] = []
    inline: list[CopySource] = []
    told: list[str] = []
    for word in it.sources:
        heredoc = _heredoc(word, bodies)
        if heredoc is not None:
            text = heredoc.text
            inline.append(InlineSource(heredoc.name, walk.expander.body(text, word, walk.variables) if heredoc.expand else text))
            continue
        source = _path(word, it, walk)
        told.append(source)
        paths.append(_source(source, word, add, parents, walk))
    destination = _path(it.destination, it, walk)
    told += [f"<<{source.name}" for source in inline if isinstance(source, InlineSource)]
    flags = [*(["--parents"] if parents else []), *([f"--chown={owner}"] if owner else []), *([f"--chmod={chmod}"] if chmod else [])]
    created_by = concealed(" ".join([it.raw.name, *flags, *told, destination, "# buildkit"]))
    origin = None
    if isinstance(it, Copy) and it.origin is not None and it.origin.text:
        origin = walk.refer(it.origin.text, it.origin)
    unpack = it.unpack if isinstance(it, Add) else False
    return CopyStep((*paths, *inline), _destination(destination, walk.settings.working_dir or "/"), origin, _owner(owner),
                    _chmod(chmod, it.chmod, walk), excludes, it.link, parents, add, unpack, _checksum(it, paths, walk),
                    isinstance(it, Add) and it.keep_git_dir, created_by, walk.label(it.raw), walk.span(it.raw))


def _exclude(word: Word, walk: "Walk") -> str:
    """A pattern of --exclude."""
    from lang.glob import check_glob
    text = walk.expand(word)
    if text.strip() == "!":
        walk.fail(word, f"`{text}` is no pattern: nothing after `!`")
    try:
        check_glob(text)
    except ValueError as error:
        walk.misread(error, word, text, "`[[]` is a bracket that means itself" if "[" in text else "")
    return text


def _path(word: Word, it: "Copy | Add", walk: "Walk") -> str:
    try:
        return walk.expand(word)
    except BadWord as error:
        if not it.raw.json and word.text.count('"') + word.text.count("'") == 1:
            error.help = f'white space divides words within quotes too; an array does not: {it.raw.name} ["a b", "/c"]'
        raise


def _heredoc(word: Word, bodies: "dict[str, Heredoc]") -> "Heredoc | None":
    if not bodies or "<<" not in word.text:
        return None
    from lang.heredoc import parse_mark
    mark = parse_mark(word.text)
    return bodies.get(mark.name) if mark else None


def _source(text: str, word: Word, add: bool, parents: bool, walk: "Walk") -> "CopySource":
    git = _git(text, word, walk)
    if git is not None and not git.short:
        if not add:
            walk.fail(word, "COPY from a git repository", "ADD takes one")
        return GitSource(git)
    if text.startswith(("http://", "https://")):
        if not add:
            walk.fail(word, "COPY from a URL", "ADD takes one")
        return UrlSource(text, _file_name(text))
    if not parents:
        return PathSource(normpath("/" + text.lstrip("/")))
    before, pivot, after = text.partition("/./")
    root, kept = (before, after) if pivot else ("", text)
    return PathSource(normpath("/" + root.lstrip("/")), normpath("/" + kept.lstrip("/")).lstrip("/") or ".")


def _git(text: str, word: Word, walk: "Walk") -> "GitRef | None":
    if "://" not in text and "@" not in text:
        return None
    from lang.gitref import parse_git_ref
    try:
        return parse_git_ref(text)
    except ValueError as error:
        walk.fail(word, str(error))


def _file_name(url: str) -> str:
    """The last part of a URL's path, as the name of the file."""
    path = url.partition("://")[2].partition("#")[0].partition("?")[0].partition("/")[2]
    if "%" in path:
        from urllib.parse import unquote
        path = unquote(path)
    name = normpath("/" + path.lstrip("/")).rpartition("/")[2]
    return name if name not in ("", ".", "..") else "__unnamed__"


def _destination(text: str, directory: str) -> str:
    if not text or text == ".":
        return directory if directory.endswith("/") else directory + "/"
    return joined(directory, text + "/" if text.startswith("/") and text.endswith("/.") else text)     # docker drops a relative one's


def _owner(text: str) -> "Owner | None":
    user, colon, group = text.partition(":")
    return Owner(user, group if colon else None) if text else None


def _chmod(text: str, word: "Word | None", walk: "Walk") -> "Chmod | None":
    if not text or word is None:
        return None
    try:
        return parse_chmod(text)
    except ValueError as error:
        walk.misread(error, word, text, "for example `755` or `u=rwX,go=rX`")


def _checksum(it: "Copy | Add", sources: "list[CopySource]", walk: "Walk") -> str:
    """The checksum of the one remote source that there is."""
    word = it.checksum if isinstance(it, Add) else None
    text = walk.optional(word)
    if word is None or not text:
        return ""
    if len(it.sources) != 1:
        walk.fail(word, "a checksum for several sources")
    if isinstance(sources[0], UrlSource) if sources else False:
        algorithm, _, value = text.partition(":")
        if algorithm not in ("sha256", "sha384", "sha512") or value.strip("0123456789abcdef") or len(value) * 4 != int(algorithm[3:]):
            walk.fail(word, f"`{text}` is no digest", "sha256: and 64 digits of hexadecimal")
    elif sources and isinstance(sources[0], GitSource):
        if text.strip("0123456789abcdef"):
            walk.fail(word, f"`{text}` is no commit", "the commit's name in hexadecimal, or its beginning")
        if sources[0].ref.checksum and not sources[0].ref.checksum.startswith(text) and not text.startswith(sources[0].ref.checksum):
            walk.fail(word, f"`{text}` and `{sources[0].ref.checksum}` for one source")
    else:
        walk.fail(word, "a checksum for a source that is no URL and no git repository")
    return text
