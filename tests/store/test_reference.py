"""Names of images: docker's short forms, the distribution grammar, and where a bad one stops being a name."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from store.errors import InvalidReference
from store.reference import Reference, parse_new_name, parse_reference

DIGEST = "sha256:" + "a" * 64


@pytest.mark.parametrize(("text", "full"), [
    ("busybox", "docker.io/library/busybox:latest"),
    ("busybox:1.36", "docker.io/library/busybox:1.36"),
    ("me/app", "docker.io/me/app:latest"),
    ("docker.io/busybox", "docker.io/library/busybox:latest"),
    ("index.docker.io/library/busybox", "docker.io/library/busybox:latest"),
    ("localhost/app", "localhost/app:latest"),
    ("localhost:5000/app:v1", "localhost:5000/app:v1"),
    ("registry.example.com/a/b/c", "registry.example.com/a/b/c:latest"),
    ("UPPER/app", "UPPER/app:latest"),
    ("[::1]:5000/app", "[::1]:5000/app:latest"),
    (f"busybox@{DIGEST}", f"docker.io/library/busybox@{DIGEST}"),
    (f"busybox:1@{DIGEST}", f"docker.io/library/busybox:1@{DIGEST}"),
    ("me/a.b_c__d--e", "docker.io/me/a.b_c__d--e:latest"),
    ("reg.io", "docker.io/library/reg.io:latest"),
    ("app:TAG_with.All-3", "docker.io/library/app:TAG_with.All-3"),
])
def test_reference_in_full(text: str, full: str) -> None:
    assert str(parse_reference(text)) == full


@pytest.mark.parametrize(("text", "position"), [
    ("", 0), ("https://a/b", 5),
    ("Busybox", 0), ("a/B", 2), ("a//b", 2), ("/a", 0), ("a/", 2), ("a:", 2), ("a:-x", 2), ("a:x y", 3), ("a_", 1), ("a/b-", 3), ("a..b", 2),
    ("a___b", 3), ("-a", 0), ("a@b", 2), ("a@sha512:" + "0" * 128, 2), ("a@sha256:zz", 9), ("x/../y", 2), ("a b", 1), ("ä", 0), ("f" * 64, 0),
    ("host:port/a", 5), ("ho..st/a", 3), ("a:" + "t" * 129, 130), ("a/" + "b" * 260, 255), ("a:b:c", 1)])
def test_reference_that_is_none_says_where(text: str, position: int) -> None:
    with pytest.raises(InvalidReference) as caught:
        parse_reference(text)
    assert caught.value.position == position
    assert "\n" not in str(caught.value)


def test_reference_without_default_tag_keeps_none() -> None:
    assert parse_reference("busybox", default_tag="") == Reference("docker.io", "library/busybox")


def test_reference_familiar_form_is_short() -> None:
    assert parse_reference("docker.io/library/busybox:1").familiar() == "busybox:1"
    assert parse_reference("docker.io/me/app:1").familiar() == "me/app:1"
    assert parse_reference("quay.io/me/app:1").familiar() == "quay.io/me/app:1"


part = st.from_regex(r"[a-z0-9]+(?:(?:[._]|__|-{1,3})[a-z0-9]+){0,2}", fullmatch=True)
domain = st.sampled_from(["docker.io", "localhost", "localhost:5000", "a.b", "Reg", "127.0.0.1:80", "[fe80::1]:5000"])
tag = st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,20}", fullmatch=True)
path = st.lists(part, min_size=2, max_size=4).map("/".join)
references = st.builds(Reference, domain, path, tag, st.sampled_from(["", DIGEST]))


@given(references)
def test_reference_law_parse_of_text_is_the_same(reference: Reference) -> None:
    assert parse_reference(str(reference)) == reference


@given(references)
def test_reference_law_familiar_form_means_the_same(reference: Reference) -> None:
    assert parse_reference(reference.familiar()) == reference


@given(st.text(max_size=30) | st.text(alphabet="ab/:@.-_A0[]", max_size=20))
def test_reference_any_text_is_parsed_or_refused(text: str) -> None:
    try:
        reference = parse_reference(text)
    except InvalidReference as error:
        assert 0 <= error.position <= len(text)
    else:
        assert parse_reference(str(reference)) == reference


def test_new_name_has_no_digest_but_that_of_what_it_leads_to() -> None:
    assert parse_new_name("x:1").tag == "1"
    assert parse_new_name(f"x@{DIGEST}", DIGEST).digest == DIGEST
    for name, digest in ((f"x@{DIGEST}", ""), (f"x:1@{DIGEST}", "sha256:" + "b" * 64), ("sha256:1", ""), ("docker.io/library/sha256", "")):
        with pytest.raises(InvalidReference):
            parse_new_name(name, digest)
    assert parse_new_name("localhost/sha256").path == "sha256"
