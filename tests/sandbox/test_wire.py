import os
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox import wire
from sandbox.spec import Bind, Device, Directory, Limits, MountOp, Overlay, Rlimit, SandboxSpec, Tmpfs, WriteFile

WORDS = st.text(max_size=8)
MOUNTS: st.SearchStrategy[MountOp] = st.one_of(
    st.builds(WriteFile, WORDS, st.binary(max_size=9)), st.builds(Tmpfs, WORDS, st.integers(0, 1 << 40)),
    st.builds(Overlay, st.lists(WORDS, max_size=3).map(tuple)))
def spec(rootfs: Overlay | Directory, argv: tuple[str, ...], **fields: Any) -> SandboxSpec:
    return SandboxSpec(rootfs, argv, **fields)


def limits(memory: int, read_bps: tuple[tuple[str, int], ...]) -> Limits:
    return Limits(memory, read_bps=read_bps)


SPECS = st.builds(
    spec, st.one_of(st.builds(Directory, WORDS, st.booleans()), st.builds(Overlay, st.lists(WORDS, max_size=3).map(tuple), WORDS)),
    st.lists(st.one_of(WORDS, st.sampled_from(["Bind", "Overlay", "Directory"])), max_size=4).map(tuple),
    mounts=st.lists(MOUNTS, max_size=4).map(tuple), env=st.lists(st.tuples(WORDS, WORDS), max_size=3).map(tuple),
    rlimits=st.lists(st.builds(Rlimit, WORDS, st.integers(), st.integers()), max_size=2).map(tuple),
    limits=st.builds(limits, st.integers(0, 1 << 50), st.lists(st.tuples(WORDS, st.integers(0, 9)), max_size=2).map(tuple)),
    devices=st.lists(st.builds(Device, WORDS, WORDS), max_size=2).map(tuple), terminal=st.none() | st.tuples(st.integers(0, 9), st.integers(0, 9)))


@given(SPECS)
def test_spec_survives_the_wire(spec: SandboxSpec) -> None:
    packed, fds, opened = wire.pack(spec, first=4)
    ours, theirs = wire.pair()
    wire.send(ours, ("spawn", packed))
    message, received = wire.receive(theirs)
    ours.close()
    theirs.close()
    assert message is not None and (fds, opened, received) == ([], [], [])
    assert wire.unpack(message[1], ()) == spec


def test_fds_are_replaced_by_their_place() -> None:
    spec = SandboxSpec(Directory("/"), ("x",), mounts=(Bind("/etc", "/a"), Bind(0, "/b")), network=1)
    packed, fds, opened = wire.pack(spec, first=4)
    assert (fds[1:], opened) == ([0, 1], fds[:1])
    spec = wire.unpack(packed, [10, 11, 12, 13, 14, 15, 16])
    os.close(opened[0])
    assert [bind.source for bind in spec.mounts if isinstance(bind, Bind)] == [14, 15]
    assert spec.network == 16


def test_long_message_and_fds() -> None:
    ours, theirs = wire.pair()
    wire.send(ours, ("x", b"y" * 3_000_000), (0, 1))
    message, fds = wire.receive(theirs)
    assert message == ("x", b"y" * 3_000_000)
    assert len(fds) == 2
    ours.close()
    assert wire.receive(theirs) == (None, [])
    theirs.close()
    for fd in fds:
        os.close(fd)


def test_missing_source_leaves_nothing_open() -> None:
    before = os.listdir("/proc/self/fd")
    with pytest.raises(FileNotFoundError):
        wire.pack(SandboxSpec(Directory("/"), ("x",), mounts=(Bind("/etc", "/a"), Bind("/no/such", "/b"))), first=4)
    assert os.listdir("/proc/self/fd") == before


def test_what_was_said_is_heard_though_the_other_end_left_something_unread() -> None:
    """The kernel then says that the connection was reset, and only afterwards what is in the queue: a unit that cannot prepare itself."""
    ours, theirs = wire.pair()
    wire.send(ours, ("request",))
    wire.send(theirs, ("failed", "why"))
    theirs.close()
    assert wire.receive(ours) == (("failed", "why"), [])
    assert wire.receive(ours) == (None, [])
    ours.close()
