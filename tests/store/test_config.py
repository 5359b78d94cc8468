"""The configuration files: what they may say, whose word counts, and what is refused."""

from pathlib import Path

import pytest

from store.config import MOST, Config, InvalidConfig, RegistryConfig, Trust, config_paths, load_config, parse_bytes, parse_config, parse_seconds
from store.registry.credential import AuthFile, read_auth_file
from tests.users import User

WHOLE = b'''
platform = "linux/arm64"
[gc]
budget = "20GB"
unused = "10d"
[registry."docker.io"]
mirrors = ["https://mirror.lan", "cache.lan:5000"]
[registry."r.lan:5000"]
insecure = true
[registry."tls.lan"]
ca = "lan.pem"
certificate = "/c.pem"
key = "/k.pem"
[registry."evil.io"]
blocked = true
[trust."r.io/team"]
keys = ["team.pub"]
'''


def test_everything_that_can_be_said() -> None:
    config = parse_config(WHOLE, "/etc/pybuild/config.toml")
    assert config == Config(
        {"docker.io": RegistryConfig(("https://mirror.lan", "cache.lan:5000")), "r.lan:5000": RegistryConfig(insecure=True),
         "tls.lan": RegistryConfig(ca=("/etc/pybuild/lan.pem",), certificate="/c.pem", key="/k.pem"), "evil.io": RegistryConfig(blocked=True)},
        (Trust("r.io/team", ("/etc/pybuild/team.pub",)),), 20 << 30, None, 864000, "linux/arm64")


def test_nothing_said_is_a_share_of_the_disk() -> None:
    assert (Config().budget_bytes, Config().budget_percent) == (None, 10)
    assert Config().registry("r.io") == RegistryConfig()


@pytest.mark.parametrize(("value", "budget"), [
    ('"1k"', (1024, None)), ('"5%"', (None, 5.0)), ('"unlimited"', (None, None)), ("1000", (1000, None)), ('"0"', (0, None)), ('"1.5 GiB"', (3 << 29, None))])
def test_budget(value: str, budget: tuple[object, object]) -> None:
    config = parse_config(f"[gc]\nbudget = {value}".encode(), "c")
    assert (config.budget_bytes, config.budget_percent) == budget


def test_users_file_goes_over_the_machines(tmp_path: Path) -> None:
    below = parse_config(b'[registry."a"]\ninsecure = true\nmirrors = ["m"]\n[registry."b"]\nblocked = true\n[gc]\nbudget = "1k"', "c")
    config = parse_config(b'[registry."a"]\ninsecure = false', "d", below)
    assert config.registry("a") == RegistryConfig(("m",), False)
    assert config.registry("b").blocked and config.budget_bytes == 1024


def test_files_are_looked_for_where_they_belong(tmp_path: Path) -> None:
    assert config_paths({"HOME": "/h"}) == ("/etc/pybuild/config.toml", "/h/.config/pybuild/config.toml")
    (tmp_path / "pybuild").mkdir()
    (tmp_path / "pybuild/config.toml").write_text('platform = "linux/arm"')
    assert load_config(environment={"XDG_CONFIG_HOME": str(tmp_path)}).platform == "linux/arm"


def test_named_file_is_the_only_one_and_has_to_be_there(tmp_path: Path) -> None:
    (tmp_path / "c.toml").write_text('platform = "linux/arm"')
    assert load_config(str(tmp_path / "c.toml")).platform == "linux/arm"
    with pytest.raises(InvalidConfig, match="does not exist"):
        load_config(str(tmp_path / "d.toml"))


def test_longest_prefix_decides_whose_signature_counts() -> None:
    config = Config(trust=(Trust("r.io", ("a",)), Trust("r.io/team", ("b",))))
    assert [config.keys_for(n) for n in ("r.io/x", "r.io/team", "r.io/team/app", "r.io/teams", "s.io/x", "r.io.evil/x")] == [
        ("a",), ("b",), ("b",), ("a",), None, None]


@pytest.mark.parametrize(("text", "where"), [
    ("[", "TOML"), ("x = 1", "`x` is no setting"), ('[gc]\nbudget = "lots"', "gc.budget"), ("[gc]\nbudget = -1", "gc.budget"), ("[gc]\nbudget = true", "gc.budget"),
    ('[gc]\nbudget = "101%"', "gc.budget"), ("gc = 1", "`gc` is no table"), ("registry = 1", "registry"), ('[registry."a"]\ninsecure = 1', "registry.a.insecure"),
    ('[registry."a"]\nmirrors = "x"', "registry.a.mirrors"), ('[registry."a"]\nmirrors = ["ftp://x"]', "registry.a.mirrors"),
    ('[registry."a"]\nmirrors = ["https://"]', "registry.a.mirrors"), ('[registry."a"]\nmirorrs = []', "registry.a.mirorrs"),
    ('[registry."a"]\nkey = "x"', "registry.a"), ('[trust."a"]', "trust.a"), ('[trust."a"]\nkeys = [1]', "trust.a.keys"), ("platform = 1", "platform"),
    ('[gc]\nunused = 3', "gc.unused"), ('[gc]\nunused = "3 weeks"', "gc.unused"), ('registry."a" = 3', "registry.a"), ("a = " + "[" * 5000, "TOML")])
def test_mistake_is_one_clear_error(text: str, where: str) -> None:
    with pytest.raises(InvalidConfig) as caught:
        parse_config(text.encode(), "/etc/c.toml")
    assert where in str(caught.value) and str(caught.value).startswith("the configuration `/etc/c.toml`: ") and "\n" not in str(caught.value)


@pytest.mark.parametrize("data", [b"\xff", b"x" * (2 << 20), b"\0"])
def test_bytes_that_are_no_text_are_refused(data: bytes) -> None:
    with pytest.raises(InvalidConfig):
        parse_config(data, "c")


@pytest.mark.parametrize("text", ["", "GB", "1x", "1..2", ".", "-1", "1e9", "0x10"])
def test_what_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        parse_bytes(text)


@pytest.mark.parametrize(("text", "seconds"), [("90s", 90), ("15m", 900), ("2h", 7200), ("30d", 2592000), ("1.5h", 5400)])
def test_times(text: str, seconds: int) -> None:
    assert parse_seconds(text) == seconds


@pytest.mark.parametrize(("text", "limits"), [
    ("", MOST), ("[layers]\nmax-bytes = '2GB'", (2 << 30, MOST[1])), ("[layers]\nmax-bytes = 5\nmax-entries = 7", (5, 7))])
def test_limits_of_layers(text: str, limits: tuple[int, int]) -> None:
    assert parse_config(text.encode(), "/c").limits == limits


@pytest.mark.parametrize("text", ["max-bytes = 0", "max-bytes = 'much'", "max-entries = -1", "max-entries = true", "max-entries = '5'", "other = 1"])
def test_limits_that_are_none_are_refused(text: str) -> None:
    with pytest.raises(InvalidConfig, match="layers"):
        parse_config(f"[layers]\n{text}".encode(), "/c")


@pytest.mark.userns
def test_files_that_a_user_may_not_look_for_are_not_meant(unprivileged: User, tmp_path: Path) -> None:
    """After `su`, HOME is another's; and /run/containers may be root's alone."""
    home = tmp_path / "home"
    (home / ".config/pybuild").mkdir(parents=True)
    (home / ".config/pybuild/config.toml").write_text("this is not read")
    home.chmod(0o700)

    def as_user() -> "tuple[Config, AuthFile | None]":
        return load_config(environment={"HOME": str(home)}), read_auth_file(f"{home}/.docker/config.json")
    assert unprivileged.call(as_user) == (load_config(environment={"HOME": "/nonexistent"}), None)


@pytest.mark.userns
def test_a_file_that_is_there_and_cannot_be_read_is_an_error(unprivileged: User) -> None:
    home = unprivileged.directory(unprivileged.home / "unreadable")
    place = unprivileged.directory(home / ".config/pybuild")
    (place / "config.toml").write_text("")
    (place / "config.toml").chmod(0)

    def as_user() -> str:
        try:
            load_config(environment={"HOME": str(home)})
        except InvalidConfig as error:
            return str(error)
        return ""
    assert "cannot be read (permission denied)" in unprivileged.call(as_user)
