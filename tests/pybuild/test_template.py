import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pybuild.output.template import TemplateError, parse, render

DATA = {"ID": "abc", "Names": ["one", "two"], "Labels": {"a.b": "1", "c": "2"}, "Size": 5, "Up": True, "State": {"Running": False, "Pid": 7}}


@pytest.mark.parametrize(("template", "text"), [
    ("{{.ID}}", "abc"),
    ("id={{.ID}} n={{len .Names}}", "id=abc n=2"),
    ("{{json .Names}}", '["one","two"]'),
    ("{{json .}}", '{"ID":"abc","Names":["one","two"],"Labels":{"a.b":"1","c":"2"},"Size":5,"Up":true,"State":{"Running":false,"Pid":7}}'),
    ("{{join .Names \",\"}}", "one,two"),
    ("{{range .Names}}<{{.}}>{{end}}", "<one><two>"),
    ("{{range $i, $n := .Names}}{{$i}}={{$n}};{{end}}", "0=one;1=two;"),
    ("{{range $k, $v := .Labels}}{{$k}}={{$v}};{{end}}", "a.b=1;c=2;"),
    ("{{if .State.Running}}yes{{else}}no{{end}}", "no"),
    ("{{if .State.Running}}a{{else if eq .Size 5}}b{{else}}c{{end}}", "b"),
    ("{{if and .Up (gt .Size 3)}}big{{end}}", "big"),
    ("{{index .Labels \"a.b\"}}", "1"),
    ("{{index .Names 1 | upper}}", "TWO"),
    ("{{.ID | upper | lower}}", "abc"),
    ("{{with .State}}{{.Pid}}{{end}}", "7"),
    ("{{$x := .ID}}{{$x}}-{{$.Size}}", "abc-5"),
    ("a {{- .ID -}} b", "aabcb"),
    ("{{/* nothing */}}{{.Up}}", "true"),
    ("{{printf \"%-5s|%d\" .ID .Size}}", "abc  |5"),
    ("{{.Names}} {{.Labels}}", "[one two] map[a.b:1 c:2]"),
    ("{{slice .ID 0 2}}{{\"\\t\"}}{{`}}`}}", "ab\t}}"),
    ("{{.Labels.missing}}", "<no value>"),
    ("{{range .Labels.missing}}x{{else}}none{{end}}", "none"),
])
def test_template(template: str, text: str) -> None:
    assert render(parse(template), DATA, template) == text


@pytest.mark.parametrize(("template", "message"), [
    ("{{.ID", "not closed"), ("{{end}}", "without a beginning"), ("{{if .ID}}x", "missing"), ("{{}}", "empty"), ("{{nope .ID}}", "no function `nope`"),
    ("{{.Nope}}", "no field `Nope`"), ("{{.ID.x}}", "no field `x`"), ("{{range .Size}}{{end}}", "no list"), ("{{join .ID}}", "does not take"),
    ("{{(.ID}}", "not closed"), ("{{$y}}", "not set"), ("{{.ID %}}", "unexpected")])
def test_template_fault_says_what_and_where(template: str, message: str) -> None:
    with pytest.raises(TemplateError, match=message) as caught:
        render(parse(template), DATA, template)
    assert 0 <= caught.value.offset <= len(template)


@settings(derandomize=True, max_examples=300)
@given(st.text(alphabet='{}.$|()-"`\\ abIDNames=:,0123ifendrangeelse', max_size=60))
def test_template_raises_nothing_but_its_own_error(template: str) -> None:
    try:
        render(parse(template), DATA, template)
    except TemplateError:
        return
