"""Instructions that change a config."""

import pytest

from builder.changes import apply
from lang.errors import LangError
from store.oci import ContainerConfig, Healthcheck, ImageConfig

BEFORE = ImageConfig(architecture="amd64", os="linux", author="me", config=ContainerConfig(
    hostname="box", env=("A=1", "PATH=/bin"), cmd=("old",), labels={"k": "v"}, volumes={"/v": {}}, stop_timeout=7, healthcheck=Healthcheck(test=("NONE",))))


def test_nothing_changes_without_instructions() -> None:
    assert apply(BEFORE, []) is BEFORE


def test_instructions_change_what_they_name_and_nothing_else() -> None:
    after = apply(BEFORE, ['CMD ["new", "x"]', "ENV B=$A-2", "EXPOSE 80", "LABEL k2=w", "USER app", "WORKDIR /srv"])
    config = after.config
    assert config is not None
    assert (config.cmd, config.env, config.exposed_ports, config.user, config.working_dir) == (
        ("new", "x"), ("A=1", "PATH=/bin", "B=1-2"), {"80/tcp": {}}, "app", "/srv")
    assert (config.labels, config.volumes, config.hostname, config.stop_timeout, after.author) == ({"k": "v", "k2": "w"}, {"/v": {}}, "box", 7, "me")
    assert config.healthcheck == Healthcheck(test=("NONE",))


def test_config_that_says_nothing_can_be_changed() -> None:
    config = apply(ImageConfig(architecture="amd64", os="linux"), ["CMD x"]).config
    assert config is not None and config.cmd == ("/bin/sh", "-c", "x")


@pytest.mark.parametrize("line", ["RUN x", "COPY a b", "FROM x", "NONSENSE", "", "EXPOSE nothing"])
def test_other_instructions_are_refused(line: str) -> None:
    with pytest.raises(LangError):
        apply(BEFORE, [line])
