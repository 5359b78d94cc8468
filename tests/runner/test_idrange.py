"""Which range of ids a container gets: pure."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.container import ContainerSpec
from runner.errors import InvalidOption
from runner.idrange import SIZE, IdRange, allot, check

FIRST, COUNT = 0x70000000, 0x0FFE0000


@given(st.lists(st.integers(0, 2**24), min_size=1, max_size=12))
def test_ranges_never_touch(seeds: list[int]) -> None:
    """Whoever asks, with whatever seed, after the others."""
    given_: list[IdRange] = []
    for seed in seeds:
        new = allot("auto", given_, "", "", seed)
        assert all(abs(new.uid - other.uid) >= SIZE and abs(new.gid - other.gid) >= SIZE for other in given_)
        assert new.uid >= FIRST
        assert new.uid + SIZE <= FIRST + COUNT
        given_.append(new)


def test_pool_of_the_user_containers_comes_first() -> None:
    text = "bob:100000:65536\ncontainers:500000:131072\n"
    first = allot("auto", (), text, text, 0)
    second = allot("auto", (first,), text, text, 0)
    assert (first, second) == (IdRange(500000, 500000, SIZE), IdRange(565536, 565536, SIZE))
    with pytest.raises(InvalidOption) as caught:
        allot("auto", (first, second), text, text, 0)
    assert str(caught.value) == "user namespace `auto`: every range of 65536 ids is some container's"
    assert caught.value.help == "remove containers, or give `containers` more ids in /etc/subuid and /etc/subgid"


def test_usual_pool_leaves_out_what_the_file_gives_to_others() -> None:
    text = f"bob:{FIRST + 5}:1\n"
    assert allot("auto", (), text, "", 0) == IdRange(FIRST + SIZE, FIRST, SIZE)


def test_remap_is_the_first_range_of_the_user_for_all() -> None:
    uids, gids = "dockremap:300000:65536\ndockremap:900000:65536\nbob:400000:1000\n", "dockremap:310000:60000\nbob:400000:2000\n"
    assert allot("remap", (IdRange(300000, 310000, 60000),), uids, gids, 0) == IdRange(300000, 310000, 60000)
    assert allot("remap:bob", (), uids, gids, 3) == IdRange(400000, 400000, 1000)


@pytest.mark.parametrize("text", ["", "dockremap", "dockremap::", "dockremap:x:y", "dockremap:1:0", ":::\n\0"])
def test_remap_of_a_user_without_ranges_says_what_to_write(text: str) -> None:
    with pytest.raises(InvalidOption) as caught:
        allot("remap", (), text, text, 0)
    assert caught.value.help == "`dockremap:300000:65536` is such a line; it belongs into both files"


@pytest.mark.parametrize("mode", ["auto", "remap", "remap:bob"])
def test_ordinary_user_is_told_that_it_takes_root(mode: str) -> None:
    with pytest.raises(InvalidOption, match="takes root"):
        check(ContainerSpec("x", userns_mode=mode), rootless=True)


@pytest.mark.parametrize("mode", ["", "host"])
def test_host_is_everybodys(mode: str) -> None:
    check(ContainerSpec("x", userns_mode=mode), rootless=True)


def test_shared_memory_is_shared_by_those_with_the_same_ids_only() -> None:
    with pytest.raises(InvalidOption, match="whose ids are others"):
        check(ContainerSpec("x", userns_mode="auto", ipc_mode="container:y"), rootless=False)
    check(ContainerSpec("x", userns_mode="remap", ipc_mode="container:y"), rootless=False)


def test_process_numbers_of_another_container_do_not_go_with_it() -> None:
    with pytest.raises(InvalidOption, match="process numbers of another container"):
        check(ContainerSpec("x", userns_mode="auto", pid_mode="container:y"), rootless=False)
