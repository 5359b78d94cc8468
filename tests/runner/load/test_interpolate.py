from typing import Any

import pytest

from tests.runner.load.folder import Folder, one


@pytest.mark.parametrize(("attribute", "value"), [
    ("privileged: ${X}", True), ("init: ${X}", True), ("attach: '${X}'", True), ("scale: ${N}", 3), ("cpus: ${F}", 1.5),
    ("mem_limit: ${M}", 64 << 20), ("stop_grace_period: ${D}", 90 * 10 ** 9),
    ("pids_limit: ${N}", 3), ("user: ${N}", "3"), ("hostname: $M", "64m"), ("cpu_shares: '${N}'", 3), ("shm_size: ${N}", 3),
    ("command: ${W}", ("a", "b")), ("command: ['${W}']", ("a b",)),
])
def test_values_get_their_type_after_interpolation(folder: Folder, attribute: str, value: object) -> None:
    env = {"X": "true", "N": "3", "F": "1.5", "M": "64m", "D": "1m30s", "W": "a b"}
    assert getattr(folder.service(one(attribute), env=env), attribute.partition(":")[0]) == value


@pytest.mark.parametrize(("word", "value"), [("YES", True), ("on", True), ("y", True), ("No", False), ("off", False), ("n", False)])
def test_loose_booleans_are_taken_and_said(folder: Folder, word: str, value: bool) -> None:
    loaded = folder.load(one(f"read_only: {word}"))
    assert loaded.project.services[0].read_only is value
    assert [one.message for one in loaded.warnings] == [f"\"{word}\" for boolean is not supported by YAML 1.2, please use `{str(value).lower()}`"]


@pytest.mark.parametrize(("attribute", "reason"), [
    ("privileged: maybe", "`services.a.privileged` is `maybe`: neither `true` nor `false`"),
    ("scale: ${X}", "`services.a.scale` is `x`: no whole number"),
    ("cpus: 1.5.1", "`services.a.cpus` is `1.5.1`: no number"), ("init: ''", "`services.a.init` is ``: neither"),
    ("pids_limit: 1e400", "no whole number"),
])
def test_values_of_the_wrong_type(folder: Folder, attribute: str, reason: str) -> None:
    assert reason in folder.refused(one(attribute), env={"X": "x"})


def test_keys_are_not_interpolated(folder: Folder) -> None:
    assert folder.service(one("labels: {$A: '$A'}"), env={"A": "v"}).labels == (("$A", "v"),)


def test_extensions_are_interpolated(folder: Folder) -> None:
    assert folder.printed(one("user: u") + "x-t: ['${A}']\n", env={"A": "v"})["x-t"] == ["v"]


def test_a_missing_variable_is_said_once(folder: Folder) -> None:
    loaded = folder.load(one("user: $A\nhostname: x$A\ndomainname: ${B:-}${C-}"))
    assert [one.message for one in loaded.warnings] == ["the variable `A` is not set: it is taken to be empty"]
    assert loaded.warnings[0].source.position(loaded.warnings[0].span.start) == (4, 12)


@pytest.mark.parametrize(("attribute", "column"), [
    ("user: a${B?no}", 14), ("user: 'a${B?no}'", 15), ('user: "a${B?no}"', 15), ('user: "a\\t${B?no}"', 11)])
def test_a_fault_points_into_the_value(folder: Folder, attribute: str, column: int) -> None:
    assert f"f0.yaml:4:{column}\n" in folder.refused(one(attribute))


def test_all_faults_of_a_file_in_one_run(folder: Folder) -> None:
    text = folder.refused(one("user: ${A?a}\nhostname: ${B?b}\ncommand: ['x', '${']"))
    assert text.count("error:") == 3 and "`services.a.command[1]`: invalid template" in text


def test_values_may_not_grow_without_end(folder: Folder) -> None:
    env: dict[str, Any] = {"A": "x" * 100_000}
    assert "longer than 64 MiB" in folder.refused(one("labels: [" + ", ".join(f"'l{i}=$A$A$A'" for i in range(300)) + "]"), env=env)
