"""Loading a project: what the command line says goes in, the project, what should be said about it, and its tree come out.

The straight line: surroundings (which files, which variables) -> file (each over the one before) -> location -> normalise ->
mapping (tree to model) -> selection (profiles) -> consistency -> variables (env_file) -> selection (named services, used resources).
"""

from kernel.value import Value
from runner.errors import EmptyProject
from runner.load import consistency, file, mapping, notice, selection, variables
from runner.load.context import Context
from runner.load.location import Place, resolve
from runner.load.normalise import normalise, volumes_of_one_letter
from runner.load.report import Report
from runner.load.surroundings import checked_name, project_name, surroundings
from runner.load.tree import mark_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from lang.diagnostic import Diagnostic
    from lang.source import Source
    from runner.load.tree import Map, Path
    from runner.model.project import Project


class LoadOptions(Value):
    """What to load, and how much to make of it. Paths may be relative to `cwd`, which is absolute.

    files: compose files in the order of their weight, `-` for standard input; none: COMPOSE_FILE, or what is found.
    services: the services the command is about, none: all.
    fetch: gets remote files, None: they are refused; remote_paths: whether those may name paths of this machine.
    making: whether containers are made of it: if not, two services may have one container name, and files of variables be missing.
    keep_env_files: services go on naming the files that made their environment and their labels.
    drives: one letter before a colon is a drive of Windows, as for compose; else a volume, where one of that name is declared.
    """

    cwd: str
    environment: "Mapping[str, str]"
    files: "tuple[str, ...]" = ()
    project_name: str = ""
    project_directory: str = ""
    profiles: "tuple[str, ...]" = ()
    env_files: "tuple[str, ...]" = ()
    services: "tuple[str, ...]" = ()
    all_resources: bool = False
    interpolate: bool = True
    normalize: bool = True
    resolve_paths: bool = True
    consistency: bool = True
    resolve_environment: bool = True
    keep_env_files: bool = False
    drives: bool = True
    stdin: "Callable[[], bytes] | None" = None
    fetch: "Callable[[str], str] | None" = None
    remote_paths: bool = False
    making: bool = True


class Tree(Value):
    """The files as one tree in long forms, before it became a project: `root` is for reading only."""

    root: "Map"
    name: str
    environment: "dict[str, str]"
    directory: str
    files: "tuple[str, ...]"
    env_files: "tuple[str, ...]"
    profiles: "tuple[str, ...]"

    def position(self, path: "Path") -> "tuple[Source, int, int] | None":
        """Where the attribute at `path`, or the nearest one around it, is written: source, and offsets of its key."""
        mark = mark_of(self.root, path)
        return mark[:3] if mark else None


class Loaded(Value):
    """`environment`: what variables were looked up in; `tree`: for the places of later errors."""

    project: "Project"
    warnings: "tuple[Diagnostic, ...]"
    tree: Tree

    @property
    def environment(self) -> "Mapping[str, str]":
        return self.tree.environment


def load(options: LoadOptions) -> Loaded:
    """The project that `options` name.

    Raises RunError: InvalidCompose for what is wrong in files, others for what is wrong in `options`.
    """
    context = _context(options)
    tree = _tree(options, context)
    report = context.report
    if not options.drives:
        volumes_of_one_letter(tree.root)
    notice.look(tree.root, report)
    project = selection.activate(mapping.from_tree(tree.root, tree.name, report), tree.profiles)
    project = selection.targeted(project, options.services)
    if options.consistency:
        consistency.check(project, tree.root, report)
        report.stop()
        project = consistency.agreed(project)
    project = project._replace(working_dir=tree.directory, files=tree.files, env_files=tree.env_files)
    project = selection.select(project, options.services)
    if options.consistency and options.making:
        consistency.check_names(project, tree.root, report)
    project = variables.resolved(project, tree.environment, context, tree.root, options.resolve_environment and options.making,
                                 options.keep_env_files)
    if not options.all_resources:
        project = selection.used(project)
    return Loaded(project, tuple(report.warnings), tree)


def load_tree(options: LoadOptions) -> "tuple[Tree, tuple[Diagnostic, ...]]":
    """The tree only, and warnings: for what is printed before variables are replaced.

    Raises as `load`.
    """
    context = _context(options)
    return _tree(options, context), tuple(context.report.warnings)


def _context(options: LoadOptions) -> Context:
    return Context(Report(), options.cwd, options.interpolate, options.stdin, options.fetch, options.remote_paths)


def _tree(options: LoadOptions, context: Context) -> Tree:
    asked = checked_name(options.project_name, "-p")
    around = surroundings(context, options.files, options.project_directory, options.env_files, options.profiles, options.environment)
    files = [context.compose(path) for path in around.files]
    name = project_name(context, asked, files, around)
    if not (asked and options.environment.get("COMPOSE_PROJECT_NAME")):
        around.environment["COMPOSE_PROJECT_NAME"] = name     # else files see what the environment says, whatever `-p` says
    place = Place(around.directory, around.directory, options.environment.get("HOME", ""), around.inside)
    root = file.model(context, files, place, around.environment)
    if not root:
        raise EmptyProject(tuple(context.shown(path) for path in around.files))
    if options.resolve_paths:
        resolve(root, place, context.report)
    if options.normalize:
        normalise(root, name, around.environment)
    context.report.stop()
    return Tree(root, name, around.environment, around.directory, around.files, around.env_files, around.profiles)
