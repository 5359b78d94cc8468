"""Compose files from elsewhere (`--allow remote`): git repositories, URLs, projects in registries, fetched into directories of this root."""

import os
import shutil

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from pybuild.scanner import Options
    from store.store import Store


OCI = "oci://"


def fetcher(options: "Options") -> "Callable[[str], str]":
    """What a load asks for a remote reference: the path of the compose file that it names. Raises FileUnreadable."""
    def fetch(reference: str) -> str:
        from builder.errors import BuildError
        from pybuild.place import open_store
        from pybuild.user import enter
        from runner.errors import FileUnreadable
        from store.errors import StoreError

        with open_store(options) as store:
            enter(store)
            try:
                directory = _published(store, options, reference) if reference.startswith(OCI) else _directory(store, reference)
            except (BuildError, StoreError, ValueError) as error:
                raise FileUnreadable(reference, str(error), getattr(error, "help", "")) from error
        from runner.load.surroundings import NAMES

        names = [name for name in (*NAMES, *sorted(os.listdir(directory))) if name.endswith((".yaml", ".yml"))]
        found = next((name for name in names if os.path.isfile(f"{directory}/{name}")), "")
        if not found:
            raise FileUnreadable(reference, "it has no compose file")
        return f"{directory}/{found}"

    return fetch


def _published(store: "Store", options: "Options", reference: str) -> str:
    """The files of a project in a registry."""
    from pybuild.session import open_session
    from runner import artifact
    from store.reference import parse_reference

    name = parse_reference(reference.removeprefix(OCI))
    with open_session(options.config) as session:
        digest, files = artifact.get(session.repository(name), name.digest or name.tag)
    target = _target(store, digest)
    if not os.path.isdir(target):
        draft = _draft(target)
        os.mkdir(draft, 0o700)
        for path, data in files.items():
            with open(f"{draft}/{path}", "xb") as file:
                file.write(data)
        _settle(draft, target)
    return target


def _target(store: "Store", digest: str) -> str:
    return f"{store.root.path}/elsewhere/{digest.removeprefix('sha256:')[:32]}"


def _draft(target: str) -> str:
    os.makedirs(os.path.dirname(target), 0o700, exist_ok=True)
    return f"{target}.{os.getpid()}"


def _settle(draft: str, target: str) -> None:
    try:
        os.rename(draft, target)
    except OSError:
        shutil.rmtree(draft, ignore_errors=True)          # somebody was faster


def _directory(store: "Store", reference: str) -> str:
    """A copy of what the reference names: files of the store are never given away."""
    from builder.remote.fetch import access, fetch
    from builder.remote.named import git_source, http_source, is_git
    from lang.gitref import parse_git_ref
    from store.snapshots import SnapshotId

    ssh = (("default", os.environ["SSH_AUTH_SOCK"]),) if os.environ.get("SSH_AUTH_SOCK") else ()
    ref = parse_git_ref(reference) if is_git(reference) else None
    source = git_source(ref) if ref is not None else http_source(reference, "compose.yaml")
    record = fetch(store, source, access(store, (), ssh), lambda text: None).record
    target = _target(store, record.tree)
    if not os.path.isdir(target):
        draft = _draft(target)
        shutil.copytree(store.snapshots.path(SnapshotId(record.snapshot)), draft, symlinks=True)
        _settle(draft, target)
    return target
