"""The small languages inside the language: durations, ports, modes, platforms, names of images, git sources, signals, suggestions."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lang.chmod import parse_chmod
from lang.config import Health, merged, quoted, quoted_health, with_pair
from lang.duration import format_duration, parse_duration
from lang.gitref import GitRef, parse_git_ref
from lang.heredoc import Mark, announced, is_alone, parse_mark
from lang.imagename import familiar, problem
from lang.platform import Platform, parse_platform
from lang.ports import parse_ports
from lang.scope import proxies
from lang.signals import is_signal
from lang.suggest import nearest

AMD64 = Platform("linux", "amd64")


@pytest.mark.parametrize(("text", "nanoseconds", "printed"), [
    ("0", 0, "0s"), ("1ns", 1, "1ns"), ("1500us", 1_500_000, "1.5ms"), ("3µs", 3000, "3µs"), ("1.5s", 1_500_000_000, "1.5s"),
    ("1m", 60 * 10**9, "1m0s"),
    ("1h1m1s", 3661 * 10**9, "1h1m1s"), ("-2s", -2 * 10**9, "-2s"), ("+.5s", 500_000_000, "500ms"), ("90m", 5400 * 10**9, "1h30m0s"),
])
def test_durations(text: str, nanoseconds: int, printed: str) -> None:
    assert parse_duration(text) == nanoseconds
    assert format_duration(nanoseconds) == printed
    assert parse_duration(printed) == nanoseconds


@pytest.mark.parametrize("text", ["", "1", "s", "1x", "1.s.", "1..2s", " 1s", "1s ", "-", "1m1", "9999999999999999999h", "1é"])
def test_durations_that_are_none(text: str) -> None:
    with pytest.raises(ValueError):
        parse_duration(text)


@given(st.integers(-2**62, 2**62))
def test_a_printed_duration_reads_as_itself(nanoseconds: int) -> None:
    assert parse_duration(format_duration(nanoseconds)) == nanoseconds


@pytest.mark.parametrize(("text", "ports"), [
    ("80", ["80/tcp"]), ("0", ["0/tcp"]), ("80/UDP", ["80/udp"]), ("80/", ["80/tcp"]), ("1-3/sctp", ["1/sctp", "2/sctp", "3/sctp"]),
    ("8080:80", ["80/tcp"]),
    ("127.0.0.1:1-2:3-4", ["3/tcp", "4/tcp"]), ("[::1]:80:81", ["81/tcp"]), ("1.2.3.4::5", ["5/tcp"]), ("8000-9000:80", ["80/tcp"]),
])
def test_ports(text: str, ports: list[str]) -> None:
    assert parse_ports(text) == ports


@pytest.mark.parametrize("text", ["", "x", "65536", "-1", "2-1", "80/foo", "1-2:3-5", "256.1.1.1:1:1", "a:b:c", "/tcp", "1-", "80/tcp/x/..y:1", "٣"])
def test_ports_that_are_none(text: str) -> None:
    with pytest.raises(ValueError):
        parse_ports(text)


@pytest.mark.parametrize(("text", "before", "file", "directory"), [
    ("755", 0o600, 0o755, 0o755), ("07777", 0, 0o7777, 0o7777), ("u=rwX,go=rX", 0o600, 0o644, 0o755), ("+x", 0o644, 0o755, 0o755),
    ("a-w", 0o666, 0o444, 0o444),
    ("g=u", 0o640, 0o660, 0o660), ("u+s,g+s", 0o755, 0o6755, 0o6755), ("o+t", 0o755, 0o1755, 0o1755), ("go=", 0o755, 0o700, 0o700),
    ("u=rw-x+r", 0o700, 0o600, 0o600),
    ("+X", 0o100, 0o111, 0o111), ("u=g", 0o070, 0o770, 0o770), ("ug+rw,o-rwx", 0o606, 0o660, 0o660),
    ("=r", 0o777, 0o444, 0o444),
])
def test_modes(text: str, before: int, file: int, directory: int) -> None:
    mode = parse_chmod(text)
    assert mode.apply(before, directory=False) == file
    assert mode.apply(before, directory=True) == directory


@pytest.mark.parametrize("text", ["", "8", "10000", "0o7", "u", "x", "X", "u=rwz", "u+w,", "u~w", "9x"])
def test_modes_that_are_none(text: str) -> None:
    with pytest.raises(ValueError):
        parse_chmod(text)


def test_a_change_of_nothing_is_none() -> None:
    assert parse_chmod("+").apply(0o640, directory=False) == 0o640


@given(st.sampled_from(["", "u", "g", "o", "a", "ug"]), st.sampled_from("+-="), st.text("rwxXst", max_size=4), st.integers(0, 0o7777), st.booleans())
def test_a_change_made_twice_is_made_once(who: str, operator: str, permissions: str, mode: int, directory: bool) -> None:
    change = parse_chmod(f"{who}{operator}{permissions}")
    once = change.apply(mode, directory)
    assert 0 <= once <= 0o7777
    assert change.apply(once, directory) == once or "X" in permissions


@pytest.mark.parametrize(("text", "platform"), [
    ("linux/amd64", AMD64), ("linux/x86_64", AMD64), ("amd64", AMD64), ("linux", AMD64), ("linux/aarch64", Platform("linux", "arm64")),
    ("arm64", Platform("linux", "arm64")),
    ("linux/arm64/v8", Platform("linux", "arm64", "v8")), ("linux/arm/v7", Platform("linux", "arm", "v7")),
    ("linux/arm", Platform("linux", "arm")), ("armhf", Platform("linux", "arm", "v7")),
    ("linux/arm/6", Platform("linux", "arm", "v6")), ("Linux/AMD64", AMD64),
    ("windows(10.0.1)/amd64", Platform("windows", "amd64", "", "10.0.1")), ("a/b/c", Platform("a", "b", "c")),
])
def test_platforms(text: str, platform: Platform) -> None:
    assert parse_platform(text, AMD64) == platform


@pytest.mark.parametrize("text", ["", "/", "linux/", "a/b/c/d", "nothing", "linux/a b", "linux/é", "windows(1/amd64"])
def test_platforms_that_are_none(text: str) -> None:
    with pytest.raises(ValueError):
        parse_platform(text, AMD64)


@pytest.mark.parametrize(("name", "short"), [
    ("alpine", "alpine"), ("alpine:latest", "alpine"), ("docker.io/library/alpine:3", "alpine:3"), ("index.docker.io/a/b", "a/b"),
    ("localhost/a", "localhost/a"),
    ("localhost:5000/a:1", "localhost:5000/a:1"), ("ghcr.io/a/b-c.d__e:v1.0_x", "ghcr.io/a/b-c.d__e:v1.0_x"),
    ("a@sha256:" + "a" * 64, "a@sha256:" + "a" * 64),
    ("Host.example/a", "Host.example/a"), ("[::1]:5000/a", "[::1]:5000/a"),
])
def test_names_of_images(name: str, short: str) -> None:
    assert problem(name) == ""
    assert familiar(name) == short


@pytest.mark.parametrize("name", ["", "A", "a..b", "a_-b", "-a", "a-", "a:", "a:b:c", "a:.x", "a/", "/a", "a//b", "a@sha256:12", "a b", "a/B", "http://a", "é", "a:" + "x" * 129, "$a"])
def test_names_that_are_no_images(name: str) -> None:
    assert problem(name)


@pytest.mark.parametrize(("text", "ref"), [
    ("https://h/a.git", GitRef("https://h/a.git")), ("https://h/a.git#v1", GitRef("https://h/a.git", "v1")),
    ("git://h/a#:d", GitRef("git://h/a", "", "d")),
    ("ssh://g@h:22/a#b:c/../d", GitRef("ssh://g@h:22/a", "b", "d")), ("git@h:a/b", GitRef("git@h:a/b")),
    ("git@h:a#x:../y", GitRef("git@h:a", "x", "y")),
    ("github.com/a/b#c", GitRef("github.com/a/b", "c", short=True)),
    ("https://h/a.git?tag=v1&subdir=s%2Ft", GitRef("https://h/a.git", "refs/tags/v1", "s/t")),
    ("https://h/a.git?branch=m&commit=ab&checksum=ab&keep-git-dir=1&submodules=false", GitRef("https://h/a.git", "refs/heads/m", "", "ab", True, False)),
    ("https://h/a", None), ("ftp://h/a.git", None), ("./a.git", None), ("a.git", None), ("a@b", None), ("a/b@c:d", None), ("@h:a", None),
])
def test_git_sources(text: str, ref: GitRef | None) -> None:
    assert parse_git_ref(text) == ref


@pytest.mark.parametrize("query", ["x=1", "ref=a&ref=b", "ref=a&tag=b", "commit=a&checksum=b", "submodules=maybe", "ref=a#b"])
def test_git_sources_that_cannot_be(query: str) -> None:
    with pytest.raises(ValueError):
        parse_git_ref(f"https://h/a.git?{query}")


@pytest.mark.parametrize("text", ["git@-oProxyCommand:x", "ssh://-oProxyCommand=x/a", "ssh://u@-o/a", "https://-h/a.git", "https://h/a.git#--upload-pack=x",
                                  "https://h/a.git?commit=-x", "-u@h:x"])
def test_git_sources_that_would_be_options(text: str) -> None:
    with pytest.raises(ValueError, match="begins with `-`"):
        parse_git_ref(text)


@pytest.mark.parametrize(("text", "expected"), [("SIGTERM", True), ("term", True), ("9", True), ("RTMIN+3", True), ("SIGRTMAX-14", True), ("0", False), ("", False), ("SIG", False),
                                                ("RTMIN+16", False), ("SIGFOO", False), ("-", False), ("9" * 30, False)])
def test_signals(text: str, expected: bool) -> None:
    assert is_signal(text) is expected


@pytest.mark.parametrize(("word", "known", "expected"), [
    ("frmo", ["from", "run"], "did you mean `from`?"), ("FORM", ["from"], "did you mean `from`?"), ("x", ["from"], ""),
    ("targe", ["target"], "did you mean `target`?"),
    ("ab", ["cd"], ""), ("", ["a"], ""), ("from", [], ""),
])
def test_nearest(word: str, known: list[str], expected: str) -> None:
    assert nearest(word, known) == expected


@pytest.mark.parametrize(("word", "mark"), [
    ("<<E", Mark("E", True, False, 0)), ("<<-E", Mark("E", True, True, 0)), ("3<<'E'", Mark("E", False, False, 3)),
    ('<<E"O"F', Mark("EOF", False, False, 0)), ("<<a.b", Mark("a.b", True, False, 0)),
    ("<<\\E", Mark("E", True, False, 0)), ("<<", None), ("<<-", None), ("<<<E", None), ("<<E<", None), ("a<<E", None), ('<<E"', None),
    ("<<'a b'", Mark("a b", False, False, 0)),
    ("99999999999999999999<<E", Mark("E", True, False, 0)),
])
def test_marks_of_heredocs(word: str, mark: Mark | None) -> None:
    assert parse_mark(word) == mark


def test_heredocs_of_a_line() -> None:
    assert [mark.name for mark in announced("RUN <<A cat '<<B' \"$(x <<C)\" <<-D << E \\<<F")] == ["A", "D", "E"]
    assert announced("RUN it's <<A") == []
    assert [is_alone(line) for line in ("<<A", "<< A", "<<A cat", "cat <<A", "3<<-'A'", "<<")] == [True, True, False, False, True, False]


def test_text_as_go_quotes_it() -> None:
    assert quoted("a\"b\\\n\x00\x7fé😀\u200b\udcff") == '"a\\"b\\\\\\n\\x00\\x7fé😀\\u200b\\xff"'
    assert quoted_health(Health(("CMD", "x"), 10**9, retries=34)) == "&{[\"CMD\" \"x\"] \"1s\" \"0s\" \"0s\" \"0s\" '\"'}"


def test_pairs_and_sets_of_a_config() -> None:
    assert with_pair((("a", "1"), ("b", "2")), "a", "3") == (("a", "3"), ("b", "2"))
    assert with_pair((("a", "1"),), "b", "2") == (("a", "1"), ("b", "2"))
    assert merged(("b",), ["a", "b"]) == ("a", "b")


def test_proxies_are_told_in_both_cases() -> None:
    assert proxies({"Http_Proxy": "p", "NO_PROXY": "", "x": "y"}) == (("HTTP_PROXY", "p"), ("http_proxy", "p"))
