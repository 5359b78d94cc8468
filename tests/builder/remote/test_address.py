"""Addresses: taken apart, followed, shown."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from builder.remote.address import Address, file_name, follow, parse_address, shown
from builder.remote.errors import BadAddress


def test_parse_parts_and_default_port() -> None:
    assert parse_address("https://User:p%40ss@Example.ORG/a b?c=d#e") == Address("https", "example.org", 443, "/a%20b?c=d", "User", "p@ss")
    assert parse_address("http://[::1]:8080").url == "http://[::1]:8080/"


@pytest.mark.parametrize("text", ["file:///etc/passwd", "unix:///run/x", "http://", "https:///x", "http://h:99999/", "ftp://h/", "x", "",
                                  "http://h/\r\nX: y", "http://[::1/"])
def test_parse_what_is_no_http_address(text: str) -> None:
    with pytest.raises(BadAddress):
        parse_address(text)


def test_follow_relative_absolute_and_without_scheme() -> None:
    here = parse_address("https://u:p@h/a/b?q")
    assert follow(here, "../c").url == "https://h/c"
    assert follow(here, "//other:444/x").url == "https://other:444/x"
    assert follow(here, "http://v:w@other/") == Address("http", "other", 80, "/")


@pytest.mark.parametrize("location", ["file:///etc/passwd", "ext::sh -c x", "gopher://h/"])
def test_follow_leads_to_no_other_scheme(location: str) -> None:
    with pytest.raises(BadAddress):
        follow(parse_address("http://h/"), location)


@pytest.mark.parametrize(("url", "name"), [
    ("http://h/a/b.tar.gz?x=/y", "b.tar.gz"), ("http://h", "__unnamed__"), ("http://h/d/", "d"), ("http://h/a%2f..", "__unnamed__"), ("http://h/%2e%2e", "__unnamed__"),
    ("http://h/x%20y", "x y")])
def test_file_name(url: str, name: str) -> None:
    assert file_name(parse_address(url)) == name


def test_shown_hides_what_is_secret() -> None:
    assert shown("https://token@h/x") == "https://h/x"
    assert shown("ssh://git:secret@h/x") == "ssh://git@h/x"
    assert shown("git@h:x/y.git") == "git@h:x/y.git"
    assert shown("http://h/\x1b[2J") == "http://h/\ufffd[2J"


@given(st.sampled_from(["http", "https", "ssh", "git", "HTTPS"]), st.text("abc@:/", max_size=5), st.just("s3cr3t"), st.text("ab./@", max_size=8))
def test_shown_never_has_the_password(scheme: str, user: str, password: str, rest: str) -> None:
    user = user.replace("/", "").replace("@", "%40").replace(":", "%3a")
    assert password not in shown(f"{scheme}://{user}:{password}@host/{rest}")
