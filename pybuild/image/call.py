"""`pybuild build --call=check|outline|targets`, and `--check`: what a Dockerfile offers and what is wrong with it; nothing is built."""

import json

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from lang.errors import LangError
    from lang.evaluate import Evaluated
    from lang.lint.linter import Surroundings
    from lang.source import Source
    from lang.stages import Resolution

KINDS = ("check", "outline", "targets")


def call(kind: str, source: "Source", at: "Surroundings", format: str = "text") -> int:
    """Print what `kind` asks for; the exit status. Of a file with errors, what can be told of the rest, then all errors. Raises LangError.

    kind: one of KINDS. format: text or json, as buildx prints them; for `check` also sarif and github.
    """
    if kind == "check":
        from pybuild.image.lint import check, show

        checked = check(source, at)
        return int(show([checked], format) or bool(checked[1]))
    from lang.outline import outline, targets
    from lang.parser import parse
    from pybuild.image.dockerfile import include

    faults: list[LangError] = []
    tree = parse(source, include(source), at.build_args.get("BUILDKIT_SYNTAX"), faults)
    if kind == "targets":
        found = targets(tree)
        lines = _targets(found)
    else:
        from lang.stages import resolve

        resolution = resolve(tree, build_args=at.build_args, target=at.target, target_platform=at.target_platform,
                             build_platform=at.build_platform, named=at.named, faults=faults)
        found = outline(resolution, _walked(resolution, at, faults))
        lines = _outline(found)
    print(json.dumps(found, indent=2, ensure_ascii=False) if format == "json" else "\n".join(lines))
    if faults:
        from lang.errors import together
        from pybuild.output.errors import report

        each = {(error.source.name, error.span, str(error)): error for error in faults}     # two looks at an instruction may say the same of it
        return report(together(list(each.values())))
    return 0


def _walked(resolution: "Resolution", at: "Surroundings", faults: "list[LangError]") -> "dict[int, Evaluated]":
    """The stages that the target needs, evaluated; images are taken to say nothing that is not known of them. faults: takes what is wrong."""
    from lang.config import SCRATCH
    from lang.evaluate import evaluate
    from lang.lint.trace import PLAIN
    from lang.refs import Scratch, StageRef

    done: dict[int, Evaluated] = {}
    for stage in resolution.stages:
        if not stage.reachable:
            continue
        if isinstance(stage.base, StageRef):
            below = done[stage.base.number]
            done[stage.number] = evaluate(stage, below.settings, resolution, below.scope, faults=faults)
        elif isinstance(stage.base, Scratch):
            done[stage.number] = evaluate(stage, SCRATCH, resolution, faults=faults)
        else:
            known = at.base(stage.base, stage.platform or at.target_platform)
            done[stage.number] = evaluate(stage, PLAIN if known is None else known, resolution, faults=faults)
    return done


def _targets(found: "dict[str, Any]") -> list[str]:
    from pybuild.output.listing import table

    rows = [["TARGET", "DESCRIPTION"]]
    for target in found["targets"]:
        name = target.get("name", "")
        if target.get("default"):
            name = f"{name} (default)" if name else "(default)"
        rows.append([name, target.get("description", "")])
    return table(rows)


def _outline(found: "dict[str, Any]") -> list[str]:
    from pybuild.output.listing import table

    out: list[str] = []
    if found.get("name") or found.get("description"):
        head = [["TARGET:", found.get("name") or "(default)"]]
        if found.get("description"):
            head.append(["DESCRIPTION:", found["description"]])
        out += [*table(head), ""]
    if found.get("args"):
        out += [*table([["BUILD ARG", "VALUE", "DESCRIPTION"],
                        *([arg["name"], arg.get("value", ""), arg.get("description", "")] for arg in found["args"])]), ""]
    for key, heading in (("secrets", "SECRET"), ("ssh", "SSH")):
        if found.get(key):
            out += [*table([[heading, "REQUIRED"], *([item["name"], "true" if item.get("required") else ""] for item in found[key])]), ""]
    return out
