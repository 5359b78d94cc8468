import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runner.load.template import DEPTH, LONGEST, TemplateFault, Variable, escape, substitute, variables

NOTHING: dict[str, str] = {}
ENV = {"SET": "val", "EMPTY": "", "OTHER": "o"}


def ignore(name: str, offset: int) -> None:
    pass


@pytest.mark.parametrize(("text", "value"), [
    ("plain", "plain"), ("$SET", "val"), ("${SET}x", "valx"), ("$SET.x", "val.x"), ("$UNSET|", "|"), ("$$SET", "$SET"), ("$$$SET", "$val"),
    ("$", "$"), ("a$", "a$"), ("$1", "$1"), ("$(x)", "$(x)"), ("^x$", "^x$"), ("$}", "$}"), ("$é", "$é"),
    ("${UNSET:-d}", "d"), ("${EMPTY:-d}", "d"), ("${SET:-d}", "val"), ("${UNSET-d}", "d"), ("${EMPTY-d}", ""), ("${SET-d}", "val"),
    ("${UNSET:+a}", ""), ("${EMPTY:+a}", ""), ("${SET:+a}", "a"), ("${UNSET+a}", ""), ("${EMPTY+a}", "a"), ("${SET+a}", "a"),
    ("${SET:?m}", "val"), ("${EMPTY?m}", ""), ("${SET?${!}}", "val"),
    ("${UNSET:-${EMPTY:-${OTHER}}}", "o"), ("${UNSET:-{\"a\": 1}}", "{\"a\": 1}"), ("${UNSET-a}b}", "ab}"), ("${UNSET:-a:-b}", "a:-b"),
    ("${UNSET:-$$x}", "$x"), ("${UNSET:-}", ""), ("${UNSET:-two\nlines}", "two\nlines"),
])
def test_substitute(text: str, value: str) -> None:
    assert substitute(text, ENV.get, ignore) == value


@pytest.mark.parametrize(("text", "reason", "where"), [
    ("a ${UNSET:?say why}", "required variable `UNSET` is missing a value: say why", "UNSET"),
    ("${EMPTY:?}", "required variable `EMPTY` is missing a value", "EMPTY"), ("${UNSET?$OTHER}", "missing a value: o", "UNSET"),
    ("a ${} b", "invalid template `${}`", "${}"), ("${ SET}", "invalid template", "${ SET}"), ("${SET }", "invalid template", "${SET }"),
    ("${SET/x/y}", "invalid template", "${SET/x/y}"),
    ("x ${SET", "invalid template", "${SET"), ("${UNSET:-${SET}", "invalid template", "${UNSET:-${SET}"),
])
def test_no_template(text: str, reason: str, where: str) -> None:
    with pytest.raises(TemplateFault) as caught:
        substitute(text, ENV.get, ignore)
    assert reason in caught.value.message
    assert text[caught.value.start:caught.value.end] == where


def test_missing_variables_are_told_when_they_are_reached() -> None:
    told: list[tuple[str, int]] = []
    substitute("$A ${SET:-$B} ${UNSET:+$C} ${UNSET:-$D}", ENV.get, lambda name, offset: told.append((name, offset)))
    assert told == [("A", 1), ("D", 37)]


def test_variables_of_a_text() -> None:
    assert list(variables("$A ${B:-x${C?m}} ${D+p}")) == [
        Variable("A"), Variable("B", "x${C?m}"), Variable("C", required=True), Variable("D", presence="p")]


def test_a_text_may_not_grow_without_end() -> None:
    with pytest.raises(TemplateFault, match="longer than"):
        substitute("$A" * 2000, {"A": "x" * 1000}.get, ignore)


def test_words_may_not_nest_without_end() -> None:
    deep = "${U:-" * (DEPTH + 2) + "}" * (DEPTH + 2)
    with pytest.raises(TemplateFault, match="nested deeper"):
        substitute(deep, ENV.get, ignore)


def test_a_long_text_is_refused_before_it_is_parsed() -> None:
    with pytest.raises(TemplateFault, match="longer than"):
        substitute("$" * (LONGEST + 1), ENV.get, ignore)


@settings(derandomize=True, max_examples=300, deadline=None)
@given(st.text(max_size=30))
def test_an_escaped_text_comes_back(text: str) -> None:
    assert substitute(escape(text), NOTHING.get, ignore) == text


@settings(derandomize=True, max_examples=500, deadline=None)
@given(st.text(alphabet="${}:-+?A_1 x\n", max_size=24))
def test_templates_raise_nothing_but_their_own_error(text: str) -> None:
    for evaluate in (lambda: substitute(text, {"A": "v"}.get, ignore), lambda: list(variables(text))):
        try:
            evaluate()
        except TemplateFault as fault:
            assert 0 <= fault.start <= fault.end <= len(text)
