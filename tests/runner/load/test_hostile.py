"""Whatever a file says, loading ends, in a project or in an error of ours."""

import json
import random
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pybuild.output.yaml import dump
from runner.errors import RunError
from runner.load import config
from runner.load.schema import FILE
from runner.load.shape import ANY, Shape
from tests.runner.load.folder import Folder
from tests.runner.load.samples import SERVICE

WORDS = ["a", "b", "x", "~", "*", "-", "x-y", "80", "80:80", "-1", "0440", "./a:/b", "/a", "true", "1.5", "10s", "1g", "no", "all", "CMD",
         "${X}", "${X:-y}", "${", "$$", "k=v", "a:b:c", "service:a", "container:x", "[::1]:1:1", "1-2:3-4", "https://x/y", "bind", "volume",
         "tmpfs", "default", "on-failure:3", "é", "", "a b", "\0", "\ud800"]


def junk(chance: random.Random, depth: int = 0) -> Any:
    kind = chance.random()
    if depth > 2 or kind < 0.5:
        return chance.choice([*WORDS, 0, 1, -1, 1.5, True, False, None, 10 ** 20, 1e300])
    if kind < 0.75:
        return [junk(chance, depth + 1) for _ in range(chance.randint(0, 3))]
    return {chance.choice(WORDS) or "k": junk(chance, depth + 1) for _ in range(chance.randint(0, 3))}


def like(shape: Shape, chance: random.Random, depth: int = 0) -> Any:
    """Something of `shape`, or now and then something that is not."""
    if shape is ANY or chance.random() < 0.01:
        return junk(chance, depth)
    kinds = ["types"] * bool(shape.types) + ["items"] * (shape.items is not None) + ["keys"] * (shape.keys is not None)
    kind = chance.choice(kinds)
    if kind == "types":
        return {str: chance.choice(WORDS[:-2]), bool: True, int: chance.choice([0, 1, 80]), float: 0.5}.get(chance.choice(shape.types))
    if kind == "items" and shape.items is not None:
        return [like(shape.items, chance, depth + 1) for _ in range(chance.randint(0, 3))]
    keys = shape.keys or {}
    found = {key: like(keys[key], chance, depth + 1) for key in chance.sample(sorted(keys), min(len(keys), chance.randint(0, 5)))}
    for key in shape.required:
        found.setdefault(key, like(keys[key], chance, depth + 1))
    for _ in range(chance.randint(0, 3) if shape.rest is not None and not keys else 0):
        found[chance.choice(["a", "b", "c", "default", "x-s"])] = like(shape.rest or ANY, chance, depth + 1)
    return found


def survives(folder: Folder, text: str, **options: Any) -> None:
    folder.write("compose.yaml", text)
    try:
        mapping, _ = config.resolved(folder.options({"X": "v"}, all_resources=True, profiles=("*",), **options), json=options.get("json", True))
    except RunError as error:
        assert str(error)
    else:
        assert json.dumps(mapping) and dump(mapping)


@settings(derandomize=True, max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(0, 10 ** 6), st.booleans(), st.booleans())
def test_any_tree_loads_or_is_refused(folder: Folder, seed: int, consistency: bool, interpolate: bool) -> None:
    survives(folder, json.dumps(like(FILE, random.Random(seed))), consistency=consistency, interpolate=interpolate)


@settings(derandomize=True, max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from(SERVICE), st.data())
def test_any_damaged_attribute_loads_or_is_refused(folder: Folder, attribute: str, data: st.DataObject) -> None:
    position = data.draw(st.integers(0, len(attribute)))
    damage = data.draw(st.sampled_from([*":{}[]$'#-~\\\"\n\t\x7f", "", "x", ": ", "${", "&a ", "*a", "!reset "]))
    cut = data.draw(st.integers(0, 3))
    survives(folder, f"services:\n  a:\n    image: x\n    {attribute[:position]}{damage}{attribute[position + cut:]}\n", consistency=False)


@pytest.mark.slow
def test_many_trees_load_or_are_refused(folder: Folder) -> None:
    import os
    for seed in range(20_000 if os.environ.get("PYBUILD_LONG") else 500):
        survives(folder, json.dumps(like(FILE, random.Random(f"long {seed}"))), consistency=False)
