"""`pyup apply PLAN.json`: do what `plan --format json` has said, and nothing else: if the files or the world have moved, nothing at all."""

import sys

from pybuild.option import FLAG, Operand, Option, Usage
from pybuild.scanner import Options
from pybuild.stack.converging import Failed, tell
from pybuild.stack.project import printer, stack
from runner.errors import RunError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

USAGE = Usage("Do what a plan says, if it still holds.", "pyup plan --format json > plan.json; pyup apply plan.json",
              (Operand("plan", "1", "what `pyup plan --format json` has written, or `-`"),),
              (Option("-q --quiet", FLAG, "show no progress"),))


class NoPlan(RunError):
    """A file is not what `plan --format json` writes."""

    help = "`pyup plan --format json > plan.json` makes one"

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(path, reason)
        self.path, self.reason = path, reason

    def __str__(self) -> str:
        return f"`{self.path}` is no plan: {self.reason}"


class Moved(RunError):
    """What a plan was made of is not as it was: `what` differs now, as lines."""

    help = "look at the new plan with `pyup plan`"

    def __init__(self, what: "list[str]") -> None:
        super().__init__(what)
        self.what = what

    def __str__(self) -> str:
        return "the world has moved since the plan was made:\n" + "\n".join(f"    {line}" for line in self.what[:20])


def main(options: Options) -> int:
    from pybuild.stack.plan import MADE_WITH
    from pybuild.stack.up import converging
    from runner.plan_text import to_plain

    said = _read(options.plan)
    for name, value in said["options"]["command"].items():
        if name in MADE_WITH:
            options.__dict__[name] = value
    for name, value in said["options"]["project"].items():
        if not getattr(options.project, name, None):
            options.project.__dict__[name] = value
    with stack(options, tuple(said["options"]["command"].get("services", ())), files=True, locked=True) as it:
        show = printer(options, it.environment, quiet=options.quiet)
        try:
            way = converging(it, options, show)
            now = to_plain(way.plan(), way.identity())
            if differing := _differences(said, now):
                raise Moved(differing)
            way.run()
        except Failed as error:
            tell(error.failures, it, show)
            return 1
        finally:
            show.close()
    return 0


def _read(path: str) -> "dict[str, Any]":
    import json

    try:
        if path == "-":
            text = sys.stdin.read()
        else:
            with open(path, encoding="utf-8") as file:
                text = file.read()
        found = json.loads(text)
    except OSError as error:
        raise NoPlan(path, (error.strerror or "").lower()) from error
    except ValueError as error:
        raise NoPlan(path, f"no JSON: {error}") from error
    if not isinstance(found, dict) or not isinstance(found.get("options"), dict) or not {"version", "project", "steps", "identity"} <= set(found):
        raise NoPlan(path, "it lacks what a plan has")
    if found["version"] != 1 or not all(isinstance(found["options"].get(key), dict) for key in ("command", "project")):
        raise NoPlan(path, f"its version is {found['version']}")
    return found


def _subject(step: "dict[str, Any]") -> str:
    return next((str(step[key]) for key in ("name", "image", "container", "service") if step.get(key)), "")


def _differences(then: "dict[str, Any]", now: "dict[str, Any]") -> "list[str]":
    """Lines for what is not the same: steps that are gone or new, services and images that are others."""
    lines = []
    before, after = ([f"{step['number']} {step['action']} {_subject(step)}" for step in plan["steps"]] for plan in (then, now))
    lines += [f"- {line}" for line in before if line not in after] + [f"+ {line}" for line in after if line not in before]
    if not lines and then["steps"] != now["steps"]:
        lines.append("the reasons for some steps are others")
    keys = sorted({*then["identity"], *now["identity"]})
    lines += [f"{key}: {then['identity'].get(key, 'nothing')} -> {now['identity'].get(key, 'nothing')}" for key in keys
              if then["identity"].get(key) != now["identity"].get(key)]
    if then["project"] != now["project"]:
        lines.append(f"project: {then['project']} -> {now['project']}")
    return lines
