"""A Plan as text for people and as JSON for programs, and what identifies it: whether a later plan is the same. Pure."""

from runner import action as a

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from runner.action import Plan, Step

_VERBS: "dict[type, str]" = {
    a.BuildImage: "build", a.PullImage: "pull", a.CreateNetwork: "create network", a.RemoveNetwork: "remove network", a.CreateVolume: "create volume",
    a.RemoveVolume: "remove volume", a.RemoveImage: "remove image", a.CreateContainer: "create", a.RecreateContainer: "recreate",
    a.RenameContainer: "rename", a.StartContainer: "start", a.StopContainer: "stop", a.RemoveContainer: "remove", a.RunHook: "run hook",
    a.WaitFor: "wait for"}
_MARKS: "dict[type, str]" = {
    a.BuildImage: "+", a.PullImage: "+", a.CreateNetwork: "+", a.RemoveNetwork: "-", a.CreateVolume: "+", a.RemoveVolume: "-", a.RemoveImage: "-",
    a.CreateContainer: "+", a.RecreateContainer: "±", a.RenameContainer: "~", a.StartContainer: ">", a.StopContainer: "<", a.RemoveContainer: "-",
    a.RunHook: "!", a.WaitFor: "."}
VERSION = 1


def to_text(plan: "Plan") -> str:
    """A line for each step, its reasons below; how many of what at the end."""
    lines = [line for step in plan.steps for line in _lines(step)]
    lines += [f"note: {note}" for note in plan.notes]
    return "".join(f"{line}\n" for line in (*lines, _sum(plan)))


def _lines(step: "Step") -> "list[str]":
    action = step.action
    after = f"  (after {', '.join(map(str, step.after))})" if step.after else ""
    reasons = getattr(action, "reasons", ())
    return [f"{step.number:>3} {_MARKS[type(action)]} {title(action)}{after}", *(f"        {reason}" for reason in reasons)]


def title(action: "a.Action") -> str:
    """What is done, in a few words."""
    verb = _VERBS[type(action)]
    if isinstance(action, a.BuildImage | a.PullImage):
        return f"{verb} image {action.image}"
    if isinstance(action, a.RecreateContainer):
        return f"{verb} container {action.name}" + (f" (now {action.old_name})" if action.old_name != action.name else "")
    if isinstance(action, a.RenameContainer):
        return f"{verb} container {action.old_name} to {action.name}"
    if isinstance(action, a.RunHook):
        return f"{verb} {action.kind}[{action.position}] of {action.service} for {action.container}"
    if isinstance(action, a.WaitFor):
        return f"{verb} {action.service}: {_CONDITIONS.get(action.condition, action.condition)}" + ("" if action.required else ", if it can be had")
    if isinstance(action, a.CreateContainer | a.StartContainer | a.StopContainer | a.RemoveContainer):
        return f"{verb} container {action.name}"
    return f"{verb} {action.name}"


_CONDITIONS = {"service_healthy": "healthy", "service_completed_successfully": "ended well", "service_started": "started"}


def _sum(plan: "Plan") -> str:
    counts = [(len([step for step in plan.steps if isinstance(step.action, kinds)]), word) for kinds, word in (
        ((a.CreateContainer, a.CreateNetwork, a.CreateVolume), "to create"), ((a.RecreateContainer,), "to recreate"),
        ((a.StartContainer,), "to start"), ((a.StopContainer,), "to stop"), ((a.RemoveContainer, a.RemoveNetwork, a.RemoveVolume), "to remove"),
        ((a.BuildImage, a.PullImage), "images to get"))]
    said = ", ".join(f"{count} {word if count > 1 else word.replace('images', 'image')}" for count, word in counts if count)
    return f"Plan of {plan.project}: {said}" if plan.changes and said else f"Plan of {plan.project}: nothing to do" if not plan.changes else \
        f"Plan of {plan.project}: {len(plan.steps)} steps"


def to_plain(plan: "Plan", identity: "dict[str, str] | None" = None) -> "dict[str, Any]":
    """As JSON has it: the names of actions in snake case, their fields beside them. identity: what the steps rest on; see Converging.identity."""
    return {"version": VERSION, "project": plan.project, "changes": plan.changes, "notes": list(plan.notes),
            "steps": [_plain(step) for step in plan.steps], "identity": identity or {}}


def _plain(step: "Step") -> "dict[str, Any]":
    fields = {key: list(value) if isinstance(value, tuple) else value for key, value in step.action._asdict().items()}
    return {"number": step.number, "action": _snake(type(step.action).__name__), **fields, "after": list(step.after)}


def _snake(name: str) -> str:
    return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in name).lstrip("_")
