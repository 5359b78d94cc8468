from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runner.load.mount import clean, parse, unknown

BIND: dict[str, Any] = {"create_host_path": True}


@pytest.mark.parametrize(("text", "mount"), [
    ("/a", {"type": "volume", "target": "/a"}),
    ("/data/", {"type": "volume", "target": "/data", "volume": {}}),
    ("data:/x", {"type": "volume", "source": "data", "target": "/x", "volume": {}}),
    ("data:/x:ro,nocopy", {"type": "volume", "source": "data", "target": "/x", "read_only": True, "volume": {"nocopy": True}}),
    ("./a:/b:rw", {"type": "bind", "source": "./a", "target": "/b", "bind": BIND}),
    ("~/a:/b:ro,z", {"type": "bind", "source": "~/a", "target": "/b", "read_only": True, "bind": {**BIND, "selinux": "z"}}),
    ("/a:/b:rslave", {"type": "bind", "source": "/a", "target": "/b", "bind": {**BIND, "propagation": "rslave"}}),
    ("/a:/b:cached", {"type": "bind", "source": "/a", "target": "/b", "bind": BIND}),
    ("C:\\a:D:\\b:ro", {"type": "bind", "source": "C:\\a", "target": "D:\\b", "read_only": True, "bind": BIND}),
    ("C:/a:/b", {"type": "bind", "source": "C:/a", "target": "/b", "bind": BIND}),
    ("\\\\.\\pipe\\x:\\\\.\\pipe\\x", {"type": "bind", "source": "\\\\.\\pipe\\x", "target": "\\\\.\\pipe\\x", "bind": BIND}),
    ("c:/c", {"type": "volume", "target": "c:/c", "volume": {}}),
    ("${A:-x}/y:/t/${B:-z}", {"type": "volume", "source": "${A:-x}/y", "target": "/t/${B:-z}", "volume": {}}),
])
def test_mount(text: str, mount: dict[str, object]) -> None:
    assert parse(text) == mount


@pytest.mark.parametrize("text", ["", "/a:", ":/a:/b", "/aa::ro", "/a:/b:ro:x", "xx:yy:zz:ww:vv"])
def test_no_mount(text: str) -> None:
    with pytest.raises(ValueError, match=r"nothing|colons"):
        parse(text)


def test_options_without_meaning() -> None:
    assert unknown("/a:/b:ro,wat,consistent,huh") == ["wat", "huh"]


@pytest.mark.parametrize(("path", "cleaned"), [
    ("/a//b/./c/", "/a/b/c"), ("/a/../../b", "/b"), ("a/..", "."), ("../a", "../a"), ("", ""), ("/", "/"), ("C:\\x", "C:\\x")])
def test_clean_path(path: str, cleaned: str) -> None:
    assert clean(path) == cleaned


@settings(derandomize=True, max_examples=300, deadline=None)
@given(st.text(alphabet="ab:/\\.~${}-,ro", max_size=14))
def test_mounts_raise_nothing_but_value_errors(text: str) -> None:
    try:
        assert parse(text)["target"]
    except ValueError:
        pass
