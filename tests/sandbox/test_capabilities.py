import pytest

from sandbox.capabilities import ALL, DEFAULT, bit, names, select
from sandbox.errors import InvalidSpec

DOCKER = {"CAP_AUDIT_WRITE", "CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FOWNER", "CAP_FSETID", "CAP_KILL", "CAP_MKNOD", "CAP_NET_BIND_SERVICE",
          "CAP_NET_RAW", "CAP_SETFCAP", "CAP_SETGID", "CAP_SETPCAP", "CAP_SETUID", "CAP_SYS_CHROOT"}


def test_default_set_is_dockers() -> None:
    assert set(names(DEFAULT)) == DOCKER


@pytest.mark.parametrize(("add", "drop", "expected"), [
    ((), (), DEFAULT), (("NET_ADMIN",), (), DEFAULT | bit("NET_ADMIN")), (("cap_net_admin",), ("CHOWN",), DEFAULT & ~1 | bit("NET_ADMIN")),
    ((), ("ALL",), 0), (("CHOWN",), ("all",), 1), (("ALL",), (), ALL), (("ALL",), ("CHOWN",), ALL & ~1), (("ALL",), ("ALL",), ALL),
    (("CHOWN",), ("CHOWN",), DEFAULT)])
def test_select(add: tuple[str, ...], drop: tuple[str, ...], expected: int) -> None:
    assert select(add, drop) == expected


def test_unknown_name() -> None:
    with pytest.raises(InvalidSpec, match="capability `CAP_FLY` is unknown"):
        bit("CAP_FLY")


def test_every_name_is_the_kernels() -> None:
    assert [bit(name) for name in names(ALL)] == [1 << number for number in range(41)]
