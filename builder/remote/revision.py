"""Which commit a git source means: asked of the server, by name, without fetching anything."""

from builder.remote.errors import BadAddress, ChecksumMismatch, GitFailed, RefMissing
from builder.remote.git import REMOTE
from kernel.value import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from builder.graph import SourceGit
    from builder.remote.git import Git

_HEX = "0123456789abcdef"


class Revision(Value):
    """commit: its full name. ref: the full name of the branch or tag that leads there, "" if none was asked for; tag: the annotated tag's own
    name, "" if it is none."""

    commit: str
    ref: str = ""
    tag: str = ""


def is_commit(text: str) -> bool:
    """Whether it is the whole name of a commit, which needs no look-up."""
    return len(text) in (40, 64) and not text.strip(_HEX)


def pinned(op: "SourceGit") -> str:
    """The commit that the source names in full, "" if only the server knows which it is."""
    return next((text for text in (op.ref, op.checksum) if is_commit(text)), "")


def find_revision(git: "Git", op: "SourceGit") -> Revision:
    """Raises RefMissing, GitFailed, BadAddress (no name for a ref), ChecksumMismatch."""
    revision = _find(git, op)
    check(git, op, revision)
    return revision


def check(git: "Git", op: "SourceGit", revision: Revision) -> None:
    """Raises ChecksumMismatch. A checksum is of the commit or, as with `git rev-parse`, of its tag."""
    if op.checksum and not any(name.startswith(op.checksum) for name in (revision.commit, revision.tag)):
        raise ChecksumMismatch(f"{git.shown}{'#' if op.ref else ''}{op.ref}", op.checksum, f"commit {revision.commit}")


def _find(git: "Git", op: "SourceGit") -> Revision:
    commit = pinned(op)
    if commit and (not op.ref or op.ref == commit or op.by_commit):
        return Revision(commit)
    if op.ref in ("", "HEAD"):
        return _default(git)
    check_refname(op.ref, git.shown)
    short = op.ref.removeprefix("refs/")
    heads, tags = f"refs/heads/{op.ref.removeprefix('refs/heads/')}", f"refs/tags/{op.ref.removeprefix('refs/tags/')}"
    found = _listed(git.run("ls-remote", "--", REMOTE, f"refs/{short}", heads, tags, f"refs/{short}^{{}}", f"{tags}^{{}}", steady=True))
    for ref in (f"refs/{short}", heads, tags):           # as git does: what is named in full, then branches, then tags
        if ref in found:
            peeled = found.get(f"{ref}^{{}}", "")
            return Revision(peeled or found[ref], ref, found[ref] if peeled else "")
    raise RefMissing(git.shown, op.ref, _meant(git, op.ref))


def _default(git: "Git") -> Revision:
    out = git.run("ls-remote", "--symref", "--", REMOTE, "HEAD", steady=True)
    found = _listed(out)
    if "HEAD" not in found:
        raise GitFailed(git.shown, "it has no default branch", "name one: `#BRANCH` behind the address")
    ref = next((line.removeprefix("ref: ").partition("\t")[0] for line in out.splitlines() if line.startswith("ref: ")), "")
    return Revision(found["HEAD"], ref)


def _listed(out: str) -> dict[str, str]:
    """name -> object, as ls-remote prints it."""
    pairs = (line.partition("\t") for line in out.splitlines())
    return {name: object for object, _, name in pairs if is_commit(object)}


def _meant(git: "Git", ref: str) -> str:
    if not ref.strip(_HEX) and len(ref) >= 7:
        return "a commit is named in full, with 40 digits"
    from lang.suggest import nearest

    try:
        names = _listed(git.run("ls-remote", "--heads", "--tags", "--refs", "--", REMOTE))
    except GitFailed:
        return ""
    return nearest(ref, [name.removeprefix("refs/heads/").removeprefix("refs/tags/") for name in names])


def check_refname(ref: str, address: str) -> None:
    """Raises BadAddress for what git would not take as the name of a branch or tag (`git check-ref-format`), options among it."""
    parts = ref.split("/")
    wrong = (ref.startswith("-") or ref.endswith(".") or ".." in ref or "@{" in ref or ref == "@"
             or any(ord(c) < 33 or ord(c) == 127 or c in "~^:?*[\\" for c in ref)
             or any(not part or part.startswith(".") or part.endswith(".lock") for part in parts))
    if wrong:
        raise BadAddress(f"{address}#{''.join(c if c.isprintable() else '?' for c in ref)}", "behind `#` is no name of a branch, tag or commit")
