"""A build context that is no directory here, or a Dockerfile behind a URL: fetched before there is a request, since only then it can be made."""

import os
import sys

from builder.remote.context import kind_of, open_context, read_url

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeVar

    from builder.remote.access import Access
    from builder.request import Tree
    from pybuild.scanner import Options
    from store.store import Store

    T = TypeVar("T")


def read_context(options: "Options") -> "tuple[str, bytes, Tree | None] | None":
    """(name of the Dockerfile, its bytes, what COPY takes from: None for nothing) of the context that the options name; None for a directory."""
    kind, file = kind_of(options.context), options.file or ""
    if not kind:
        return None
    from pybuild.image.request import build_args_of

    text = None
    if file == "-":
        if kind == "stdin":
            from pybuild.scanner import Misuse

            raise Misuse("the context and the Dockerfile cannot both come from stdin")
        text, file = sys.stdin.buffer.read(), ""
    elif os.path.isabs(file) and os.path.isfile(file):   # as docker has it: an absolute path is of this machine
        with open(file, "rb") as stream:
            text = stream.read()
    elif file.startswith(("http://", "https://")):
        text, file = read_dockerfile(options), ""
    keep = dict(build_args_of(options)).get("BUILDKIT_CONTEXT_KEEP_GIT_DIR", "").lower() in ("1", "t", "true")

    def fetch(store: "Store", access: "Access", say: "Callable[[str], None]") -> "tuple[str, bytes, Tree | None]":
        found = open_context(store, options.context, file, access, text=text, keep_git_dir=keep, say=say)
        if kind != "stdin":
            say(f"context {found.tree.name if found.tree else options.context}{f' ({found.why})' if found.why else ''}")
        return found.dockerfile, found.text, found.tree

    return _with_store(options, fetch)


def read_dockerfile(options: "Options") -> bytes:
    """The bytes of a Dockerfile that `-f` names by a URL."""
    return _with_store(options, lambda store, access, say: read_url(store, options.file or "", access, say))


def _with_store(options: "Options", work: "Callable[[Store, Access, Callable[[str], None]], T]") -> "T":
    from builder.progress import Note
    from builder.remote.fetch import access
    from pybuild.image.build import printer_of
    from pybuild.image.request import secrets_of, ssh_of
    from pybuild.place import open_store
    from pybuild.user import enter

    on_event = printer_of(options)
    ssh = ssh_of(options)
    if not ssh and os.environ.get("SSH_AUTH_SOCK"):      # the user typed the address: the user's own agent may open it
        ssh = (("default", os.environ["SSH_AUTH_SOCK"]),)
    with open_store(options) as store:
        enter(store)                                     # files of several owners are about to be written
        return work(store, access(store, secrets_of(options), ssh), lambda text: on_event(Note("info", text)))
