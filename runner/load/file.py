"""One compose file over what earlier files say: text -> variables -> schema -> extends -> include -> merge -> long forms."""

from runner.load import defaults, extends, include
from runner.load.canonical import canonical
from runner.load.location import Place
from runner.load.merge import merge, reset
from runner.load.schema import FILE
from runner.load.shape import complete, validate
from runner.load.tree import Map
from runner.load.unique import enforce

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from runner.load.context import ComposeFile, Context
    from runner.load.shape import Lack

HIDDEN = "x-#value"                                       # the value of a secret: never printed


def add(context: "Context", root: Map, file: "ComposeFile", place: Place, environment: "Mapping[str, str]",
        included: "tuple[str, ...]") -> Map:
    """`root` with all that the file says; `root` and the file's documents are used up.

    included: the files on the way to this one, for cycles.
    Raises InvalidCompose.
    """
    report, source = context.report, file.source
    for one in file.documents:
        tree = context.substituted(source, one.root, environment)
        lacking: list[Lack] = []
        validate(tree, FILE, (), (source, 0, 0, 0, 0), report, not context.interpolates, lacking)
        report.stop()
        version = tree.get("version")
        if version is not None:
            report.warn(tree.marks.get("version"), f"{source.name}: the attribute `version` is obsolete, it is ignored", "leave it out", key=True)
            tree.drop("version")
        extends.apply(context, tree, one.resets, file.path, place, environment)
        include.apply(context, tree, one.resets, place, environment, (*included, file.path), model)
        reset(root, one.resets)
        root = merge(root, tree, (), None, report)
        complete(root, lacking, report)
        report.stop()
        enforce(root)
        canonical(root, report, not context.interpolates)
        enforce(root)
        report.stop()
    return root


def model(context: "Context", files: "list[ComposeFile]", place: Place, environment: "Mapping[str, str]",
          included: "tuple[str, ...]" = ()) -> Map:
    """The tree of a project, or of one that another includes: all its files in their order, defaults filled in.

    Raises InvalidCompose.
    """
    root = Map()
    for file in files:
        root = add(context, root, file, place, environment, included)
    defaults.fill(root)
    defaults.check(root, context.report)
    context.report.stop()
    bind(root, environment)
    return root


def bind(root: Map, environment: "Mapping[str, str]") -> None:
    """Give what takes its value from the environment the value that the environment of its own project has."""
    for service in (root.get("services") or {}).values():
        listed = service.get("environment") if service.__class__ is Map else None
        if isinstance(listed, list):
            listed[:] = [f"{one}={environment[one]}" if one in environment else one for one in listed]
    for kind in ("secrets", "configs"):
        for resource in (root.get(kind) or {}).values():
            if resource.__class__ is Map and resource.get("environment") in environment:
                resource[HIDDEN] = environment[resource["environment"]]
                if kind == "configs":
                    resource["content"] = resource[HIDDEN]
