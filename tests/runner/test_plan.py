"""Plans: golden ones, and laws that hold for all.

A case is a folder of plans/: compose.yaml (what is wanted), present.json, plan.txt. In present.json: made_of (the file that the containers were
made of), services (how many of each there are), changes and more (fields of Seen), images, networks, volumes (names that others have made), options.
"""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner import action as a
from runner.action import Plan
from runner.errors import InvalidService
from runner.plan import Options, plan
from runner.plan_text import to_plain, to_text
from tests.runner.planning import options_of, plan_again, present_of, project_of, wanted_of

CASES = sorted(path.name for path in (Path(__file__).parent / "plans").iterdir() if path.is_dir())


def made(case: Path) -> tuple[Plan, Any, Any, Any, Options]:
    said = json.loads((case / "present.json").read_text())
    project = project_of(case / "compose.yaml", profiles=tuple(said.get("profiles", ())), services=tuple(said.get("options", {}).get("named", ())))
    present = present_of(project_of(case / said.get("made_of", "compose.yaml"), profiles=("*",)), said)
    options = options_of(said.get("options", {}))
    wants = wanted_of(project, said.get("options", {}).get("scale"))
    return plan(wants, project, present, options), project, present, wants, options


@pytest.mark.parametrize("case", CASES)
def test_plan(case: str) -> None:
    folder = Path(__file__).parent / "plans" / case
    assert to_text(made(folder)[0]) == (folder / "plan.txt").read_text()


@pytest.mark.parametrize("case", CASES)
def test_a_plan_that_was_carried_out_leaves_nothing_to_do(case: str) -> None:
    folder = Path(__file__).parent / "plans" / case
    _, project, present, wants, options = made(folder)
    first, second = plan_again(project, present, options, wants)
    assert not second.changes, to_text(second)
    assert json.dumps(to_plain(first))


@pytest.mark.parametrize("case", CASES)
def test_steps_come_after_what_they_wait_for(case: str) -> None:
    steps = made(Path(__file__).parent / "plans" / case)[0].steps
    phases = {step.number: step.phase for step in steps}
    assert [step.number for step in steps] == list(range(1, len(steps) + 1))
    assert all(other < step.number and phases[other] == step.phase for step in steps for other in step.after)
    assert [step.phase for step in steps] == sorted(step.phase for step in steps)


NAMES = ("a", "b", "c", "d")
CONDITIONS = ("service_started", "service_healthy", "service_completed_successfully")


@st.composite
def files(draw: st.DrawFn) -> str:
    """Compose files of a few services, which depend on those before them."""
    lines = ["services:"]
    for index, name in enumerate(draw(st.lists(st.sampled_from(NAMES), min_size=1, unique=True))):
        earlier = [line.strip().rstrip(":") for line in lines if line.startswith("  ") and not line.startswith("   ")]
        lines += [f"  {name}:", "    image: i", f"    command: {draw(st.sampled_from(['x', 'y']))}", f"    scale: {draw(st.integers(0, 3))}"]
        if draw(st.booleans()):
            lines.append("    healthcheck: {test: x}")
        if draw(st.booleans()) and earlier:
            other, condition, restart = draw(st.sampled_from(earlier)), draw(st.sampled_from(CONDITIONS)), draw(st.sampled_from(("true", "false")))
            lines.append(f"    depends_on: {{{other}: {{condition: {condition}, restart: {restart}}}}}")
        if draw(st.booleans()):
            lines.append(f"    volumes: ['v{index % 2}:/v', /anonymous]")
        if draw(st.booleans()):
            lines.append(f"    networks: [n{index % 2}]")
    return "\n".join([*lines, "volumes: {v0: , v1: }", "networks: {n0: , n1: {internal: true}}", ""])


@given(old=files(), new=files(), data=st.data())
def test_law_a_plan_leads_where_it_should(tmp_path_factory: pytest.TempPathFactory, old: str, new: str, data: st.DataObject) -> None:
    directory = tmp_path_factory.mktemp("law")
    (directory / "old.yaml").write_text(old)
    (directory / "new.yaml").write_text(new)
    before, project = project_of(directory / "old.yaml"), project_of(directory / "new.yaml")
    counts = {one.name: data.draw(st.integers(0, 3)) for one in before.services}
    states = st.sampled_from(("running", "exited", "created", "paused", "restarting", "dead"))
    changes = {f"{name}-{number}": {"status": data.draw(states)} for name, count in counts.items() for number in range(1, count + 1)}
    present = present_of(before, {"services": counts, "changes": changes})
    present = present._replace(images=(("i", "sha256:" + data.draw(st.sampled_from(["1" * 64, "2" * 64]))),))
    options = Options(data.draw(st.sampled_from([(), (project.services[0].name,)])), data.draw(st.sampled_from(["diverged", "never"])),
                      remove_orphans=data.draw(st.booleans()))
    wants = wanted_of(project)
    first, second = plan_again(project, present, options, wants)
    assert not second.changes, to_text(first) + to_text(second)
    starts = [step.action.name for step in first.steps if isinstance(step.action, a.StartContainer)]
    assert len(starts) == len(set(starts))
    assert plan(wants, project, present, options) == first


def test_a_name_for_several_containers(tmp_path: Path) -> None:
    (tmp_path / "compose.yaml").write_text("services: {a: {image: i, container_name: one}}")
    project = project_of(tmp_path / "compose.yaml")
    with pytest.raises(InvalidService) as caught:
        plan(wanted_of(project, {"a": 2}), project, present_of(project, {}), Options())
    assert caught.value.path == ("services", "a", "container_name")
