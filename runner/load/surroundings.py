"""What a load starts from: which files, from which directory, with which variables, under which name.

The order is compose's: the process's environment wins over files of variables; those of the working directory are read before the
compose files are chosen (they may say COMPOSE_FILE), those beside the chosen file after.
"""

import os

from kernel.value import Value
from lang.source import Source
from runner.errors import FileUnreadable, InvalidProjectName, NoComposeFile
from runner.load import reading
from runner.load.template import TemplateFault, substitute
from runner.load.tree import Map

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from runner.load.context import ComposeFile, Context

NAMES = ("compose.yaml", "compose.yml", "docker-compose.yml", "docker-compose.yaml")
OVERRIDES = ("compose.override.yml", "compose.override.yaml", "docker-compose.override.yml", "docker-compose.override.yaml")
_LETTERS = frozenset("abcdefghijklmnopqrstuvwxyz0123456789_-")


class Surroundings(Value):
    """Paths are absolute, or `-`.

    environment: of the process and of files. env_files: those that were read. inside: see Place; set if the first file is remote.
    """

    files: "tuple[str, ...]"
    directory: str
    environment: "dict[str, str]"
    env_files: "tuple[str, ...]"
    profiles: "tuple[str, ...]"
    inside: str


def surroundings(context: "Context", files: "tuple[str, ...]", directory: str, env_files: "tuple[str, ...]", profiles: "tuple[str, ...]",
                 environment: "Mapping[str, str]") -> Surroundings:
    """Choose the files and read the variables.

    Raises NoComposeFile, FileUnreadable, InvalidCompose.
    """
    known = dict(environment)
    known.setdefault("PWD", context.cwd)
    cwd = context.cwd
    asked = env_files or tuple(one for one in known.get("COMPOSE_ENV_FILES", "").split(",") if one)
    default = not asked and known.get("COMPOSE_DISABLE_ENV_FILE", "").lower() not in ("1", "t", "true")

    def home(chosen: "tuple[str, ...]") -> str:
        first = next((one for one in chosen if one != "-"), None)
        return os.path.join(cwd, directory) if directory else os.path.dirname(os.path.join(cwd, first)) if first else cwd

    read = _variables(context, asked, home(files), default, known)
    chosen = files
    if not chosen and known.get("COMPOSE_FILE"):
        chosen = tuple(known["COMPOSE_FILE"].split(known.get("COMPOSE_PATH_SEPARATOR") or ":"))
    fetched = [(one, False) if one == "-" else context.local(one, None) for one in chosen]
    chosen = tuple(one if one == "-" else os.path.normpath(os.path.join(cwd, one)) for one, _ in fetched) or _default(context, home(()))
    inside = os.path.dirname(chosen[0]) if fetched and fetched[0][1] and not context.remote_paths else ""
    project = os.path.normpath(home(chosen))
    if default:
        read = _variables(context, (), project, True, known) or read
    active = profiles or tuple(filter(None, (one.strip() for one in known.get("COMPOSE_PROFILES", "").split(","))))
    return Surroundings(chosen, project, known, read, active, inside)


def _variables(context: "Context", asked: "tuple[str, ...]", directory: str, default: bool, known: "dict[str, str]") -> "tuple[str, ...]":
    """Add to `known` what the files of variables say that it does not have yet; their paths."""
    paths = [os.path.normpath(os.path.join(context.cwd, one)) for one in asked]
    if default and reading.exists(os.path.join(directory, ".env")):
        paths = [os.path.normpath(os.path.join(directory, ".env"))]
    found: dict[str, str] = {}
    for path in paths:
        if not reading.exists(path):
            raise FileUnreadable(context.shown(path), "no such file of variables" if not os.path.isdir(path) else "is a directory")
        found.update(context.variables(path, found, known.get))
    for key, value in found.items():
        known.setdefault(key, value)
    return tuple(paths)


def _default(context: "Context", directory: str) -> "tuple[str, ...]":
    """The compose file of `directory`, or of the nearest directory above, and its override file."""
    where = os.path.normpath(directory)
    while not (found := _existing(context, where, NAMES)):
        above = os.path.dirname(where)
        if above == where:
            raise NoComposeFile(directory)
        where = above
    return found + _existing(context, where, OVERRIDES)


def _existing(context: "Context", directory: str, names: "tuple[str, ...]") -> "tuple[str, ...]":
    """The first of `names` that is in `directory`, or nothing; that there are more of them is said."""
    found = [os.path.join(directory, name) for name in names if reading.exists(os.path.join(directory, name))]
    if len(found) > 1:
        mark = (Source(context.shown(found[0]), ""), 0, 0, 0, 0)
        rest = " and ".join(f"`{os.path.basename(path)}`" for path in found[1:])
        context.report.warn(mark, f"{rest} beside `{os.path.basename(found[0])}`: only this one is read", "`-f` chooses")
    return tuple(found[:1])


def checked_name(name: str, origin: str) -> str:
    """`name` if it can be a project's; `origin` says who asked for it. Raises InvalidProjectName."""
    if normal_name(name) != name:
        raise InvalidProjectName(name, origin)
    return name


def project_name(context: "Context", asked: str, files: "list[ComposeFile]", around: Surroundings) -> str:
    """The name: what was asked for, COMPOSE_PROJECT_NAME, the last `name:` of the files, the directory's own name.

    Raises InvalidProjectName, InvalidCompose.
    """
    name = asked or checked_name(around.environment.get("COMPOSE_PROJECT_NAME", ""), "COMPOSE_PROJECT_NAME")
    name = name or _name_in(context, files, around.environment) or normal_name(os.path.basename(around.directory))
    if not name:
        raise InvalidProjectName("", "")
    return name


def _name_in(context: "Context", files: "list[ComposeFile]", environment: "Mapping[str, str]") -> str:
    found, mark = "", None
    for file in files:
        for one in file.documents:
            said: Any = one.root.get("name") if one.root.__class__ is Map else None
            if said.__class__ is str and said:
                found, mark = said, one.root.marks.get("name")
    if context.interpolates and found:
        try:
            found = substitute(found, environment.get, lambda name, offset: None)
        except TemplateFault as fault:
            context.report.fault(mark, f"`name`: {fault.message}", fault.help)
            context.report.stop()
    return normal_name(found)


def normal_name(text: str) -> str:
    """`text` as the name of a project: in lower case, without what may not be in one."""
    return "".join(letter for letter in text.lower() if letter in _LETTERS).lstrip("_-")
