"""Who owns what a step makes: names as --chown and USER say them enter, numbers of the image's own /etc/passwd and /etc/group leave."""

from builder.errors import BuildError
from lang.steps import Owner
from sandbox.account import resolve
from sandbox.errors import SandboxError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from store.view import View


def resolve_owner(owner: Owner, below: "View") -> tuple[int, int]:
    """(uid, gid) of a --chown, names looked up in the target's own files. Raises BuildError for a name that is not there."""
    user = owner.user or "0"
    group = owner.group
    if group is None and user.isdigit():
        group = user                                     # a number alone is the group's number too
    try:
        account = resolve(user if group is None else f"{user}:{group}", (), lambda name: _read_text(below, f"etc/{name}"))
    except SandboxError as error:
        raise BuildError(f"--chown: {error}", help="names are looked up in /etc/passwd and /etc/group of this stage; numbers always work") from error
    return account.uid, account.gid


def owner_of_workdir(user: str, below: "View") -> tuple[int, int]:
    """As --chown reads it; but a name that is not there stands for root, as with docker: only a process needs its user to exist."""
    name, _, group = user.partition(":")
    owner = [0, 0]
    for place, wanted in ((0, Owner(name, None)), (1, Owner("0", group) if group else None)):
        try:
            if wanted is not None:
                owner[place:] = resolve_owner(wanted, below)[place:]
        except BuildError:
            pass
    return owner[0], owner[1]


def _read_text(view: "View", path: str) -> str:
    """A file of the image as text, "" if there is none."""
    if view.lookup(path) is None:
        return ""
    return view.read(path, 1 << 20).decode(errors="replace")
