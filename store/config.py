"""The configuration files: registries, trust, the cache's size, the platform to build for. In: paths; out: a `Config`, every value checked.

/etc/pybuild/config.toml, then $XDG_CONFIG_HOME/pybuild/config.toml, whose tables go over the first one's key by key. `tomllib` is imported only
where there is a file to read. docs/registries.md shows every key.
"""

import os

from kernel.value import Value
from store.errors import StoreError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

_LIMIT = 1 << 20
_SHARE = 10                              # percent of the file system that the cache may take unless something else is said
_UNUSED_S = 30 * 24 * 3600


class InvalidConfig(StoreError):
    """A configuration file that does not say what it could. `where` is the key, "" for the file as a whole."""

    def __init__(self, path: str, where: str, reason: str, help: str = "") -> None:
        super().__init__(path, where, reason)
        self.path, self.where, self.reason, self.help = path, where, reason, help

    def __str__(self) -> str:
        return f"the configuration `{self.path}`: {f'`{self.where}` ' if self.where else ''}{self.reason}"


MOST = (1 << 40, 5_000_000)


class RegistryConfig(Value):
    """What is said of one registry. insecure: None where nothing is said, which is True for this machine's own registries."""

    mirrors: "tuple[str, ...]" = ()      # URLs, asked first, in this order
    insecure: "bool | None" = None
    blocked: bool = False
    ca: "tuple[str, ...]" = ()           # PEM files
    certificate: str = ""                # PEM file, ours
    key: str = ""


class Trust(Value):
    """Images whose name begins with `prefix` (whole path components) need a signature by one of the keys (PEM files)."""

    prefix: str
    keys: "tuple[str, ...]"


class Config(Value):
    """budget_bytes, budget_percent: what the build cache may keep on the disk; both None: as much as it likes. unused_s: how long cache mounts and
    context indexes are kept without being used, seconds."""

    registries: "dict[str, RegistryConfig]" = {}
    trust: "tuple[Trust, ...]" = ()
    budget_bytes: "int | None" = None
    budget_percent: "float | None" = _SHARE
    unused_s: int = _UNUSED_S
    platform: str = ""
    limits: "tuple[int, int]" = MOST                     # bytes (holes too) and entries that one layer may unpack to

    def registry(self, domain: str) -> RegistryConfig:
        return self.registries.get(domain) or RegistryConfig()

    def keys_for(self, name: str) -> "tuple[str, ...] | None":
        """The keys that may sign an image of this repository (in full); None if it needs no signature. The longest prefix decides."""
        fitting = [t for t in self.trust if t.prefix == name or name.startswith(f"{t.prefix}/")]
        return max(fitting, key=lambda t: len(t.prefix)).keys if fitting else None


def config_paths(environment: "Mapping[str, str]") -> "tuple[str, ...]":
    """Where configuration is looked for, the later file over the earlier one."""
    return "/etc/pybuild/config.toml", f"{user_config(environment)}/pybuild/config.toml"


def user_config(environment: "Mapping[str, str]") -> str:
    """The user's directory of configuration."""
    return environment.get("XDG_CONFIG_HOME") or f"{environment.get('HOME') or os.path.expanduser('~')}/.config"


def load_config(only: "str | None" = None, environment: "Mapping[str, str] | None" = None) -> Config:
    """only: read this file, which has to be there, and no other. Raises InvalidConfig."""
    config = Config()
    for path in (only,) if only else config_paths(os.environ if environment is None else environment):
        try:
            with open(path, "rb") as file:
                data = file.read(_LIMIT + 1)
        except FileNotFoundError:
            if only:
                raise InvalidConfig(path, "", "does not exist") from None
            continue
        except NotADirectoryError:
            continue
        except OSError as error:
            if not only and is_out_of_sight(path):
                continue
            raise InvalidConfig(path, "", f"cannot be read ({(error.strerror or '').lower()})") from error
        config = parse_config(data, path, config)
    return config


def is_out_of_sight(path: str) -> bool:
    """Whether this user may not even look whether the file is there (another's home after `su`, another's run directory): then it is not meant."""
    try:
        os.lstat(path)
    except PermissionError:
        return True
    except OSError:
        pass                                              # whoever asks has met the error itself
    return False


def parse_config(data: bytes, path: str, below: "Config | None" = None) -> Config:
    """What the file says, over `below`. Raises InvalidConfig for what is no TOML, for unknown keys and for values of the wrong type."""
    import tomllib

    if len(data) > _LIMIT:
        raise InvalidConfig(path, "", f"has more than {_LIMIT} bytes")
    try:
        document = tomllib.loads(data.decode())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidConfig(path, "", f"is not valid TOML: {error}") from error
    return _Reader(path).config(document, below or Config())


class _Reader:
    """Checks the values of one file."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._base = os.path.dirname(os.path.abspath(path))

    def _wrong(self, where: str, reason: str, help: str = "") -> InvalidConfig:
        return InvalidConfig(self._path, where, reason, help)

    def config(self, document: "dict[str, Any]", below: Config) -> Config:
        self._known(document, "", ("registry", "trust", "gc", "layers", "platform"))
        registries = dict(below.registries)
        for name, table in self._tables(document, "registry").items():
            registries[name] = self._registry(f"registry.{name}", table, below.registry(name))
        trust = {t.prefix: t for t in below.trust}
        for name, table in self._tables(document, "trust").items():
            trust[name] = self._trust(name, table)
        gc = self._table(document.get("gc", {}), "gc")
        self._known(gc, "gc", ("budget", "unused"))
        config = below._replace(registries=registries, trust=tuple(trust.values()), platform=self._text(document, "platform", "", below.platform))
        if "budget" in gc:
            config = config._replace(**self._budget(gc["budget"]))
        if "unused" in gc:
            config = config._replace(unused_s=self._seconds("gc.unused", gc["unused"]))
        return config._replace(limits=self._limits(self._table(document.get("layers", {}), "layers"), below.limits))

    def _limits(self, table: "dict[str, Any]", below: "tuple[int, int]") -> "tuple[int, int]":
        self._known(table, "layers", ("max-bytes", "max-entries"))
        size, entries = table.get("max-bytes", below[0]), table.get("max-entries", below[1])
        if isinstance(size, str):
            try:
                size = parse_bytes(size)
            except ValueError:
                raise self._wrong("layers.max-bytes", f"is `{size}`, which is no size", "`200GB`") from None
        for name, value in (("max-bytes", size), ("max-entries", entries)):
            if not isinstance(value, int) or isinstance(value, bool) or value < 1:
                raise self._wrong(f"layers.{name}", "is no number above 0")
        return size, entries

    def _registry(self, where: str, table: "dict[str, Any]", below: RegistryConfig) -> RegistryConfig:
        self._known(table, where, ("mirrors", "insecure", "blocked", "ca", "certificate", "key"))
        mirrors = self._texts(table, "mirrors", where, below.mirrors)
        for mirror in mirrors:
            scheme, separator, rest = mirror.partition("://")
            if separator and (scheme not in ("http", "https") or not rest or any(c.isspace() or c in "?#@" for c in rest)):
                raise self._wrong(f"{where}.mirrors", f"has `{mirror}`, which is no address of a registry", "http(s)://HOST[:PORT][/PATH]")
        paths = {name: self._file(self._text(table, name, where, getattr(below, name))) for name in ("certificate", "key")}
        if bool(paths["certificate"]) != bool(paths["key"]):
            raise self._wrong(where, "has one of `certificate` and `key`, and needs both")
        ca = [table["ca"]] if isinstance(table.get("ca"), str) else table.get("ca", list(below.ca))
        return RegistryConfig(mirrors, self._flag(table, "insecure", where, below.insecure), bool(self._flag(table, "blocked", where, below.blocked)),
                              tuple(self._file(path) for path in self._texts({"ca": ca}, "ca", where, ())), **paths)

    def _trust(self, name: str, table: "dict[str, Any]") -> Trust:
        self._known(table, f"trust.{name}", ("keys",))
        keys = self._texts(table, "keys", f"trust.{name}", ())
        if not keys:
            raise self._wrong(f"trust.{name}", "has no `keys`, so that nothing could ever be trusted")
        return Trust(name.strip("/"), tuple(self._file(path) for path in keys))

    # ------------------------------------------------------------ values
    def _known(self, table: "dict[str, Any]", where: str, names: "tuple[str, ...]") -> None:
        for name in table:
            if name not in names:
                raise self._wrong(f"{where}.{name}".lstrip("."), "is no setting", f"there {'are' if len(names) > 1 else 'is'} {', '.join(names)}")

    def _table(self, value: "Any", where: str) -> "dict[str, Any]":
        if not isinstance(value, dict):
            raise self._wrong(where, "is no table")
        return value

    def _tables(self, document: "dict[str, Any]", name: str) -> "dict[str, dict[str, Any]]":
        return {key: self._table(value, f"{name}.{key}") for key, value in self._table(document.get(name, {}), name).items()}

    def _text(self, table: "dict[str, Any]", name: str, where: str, default: str) -> str:
        value = table.get(name, default)
        if not isinstance(value, str):
            raise self._wrong(f"{where}.{name}".lstrip("."), "is no text")
        return value

    def _texts(self, table: "dict[str, Any]", name: str, where: str, default: "tuple[str, ...]") -> "tuple[str, ...]":
        value = table.get(name, list(default))
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            raise self._wrong(f"{where}.{name}", "is no list of texts")
        return tuple(value)

    def _flag(self, table: "dict[str, Any]", name: str, where: str, default: "bool | None") -> "bool | None":
        value = table.get(name, default)
        if value is not None and not isinstance(value, bool):
            raise self._wrong(f"{where}.{name}", "is neither true nor false")
        return value

    def _file(self, path: str) -> str:
        """Paths are relative to the file that has them."""
        return os.path.normpath(os.path.join(self._base, os.path.expanduser(path))) if path else ""

    def _budget(self, value: "Any") -> "dict[str, Any]":
        if value == "unlimited":
            return {"budget_bytes": None, "budget_percent": None}
        try:
            if isinstance(value, int) and not isinstance(value, bool):
                return {"budget_bytes": _not_negative(value), "budget_percent": None}
            if isinstance(value, str) and value.endswith("%"):
                percent = float(value[:-1])
                if 0 <= percent <= 100:
                    return {"budget_bytes": None, "budget_percent": percent}
            elif isinstance(value, str):
                return {"budget_bytes": parse_bytes(value), "budget_percent": None}
        except ValueError:
            pass
        raise self._wrong("gc.budget", f"is `{value}`, which is no size", "`20GB`, `10%` of the disk, or `unlimited`")

    def _seconds(self, where: str, value: "Any") -> int:
        try:
            return parse_seconds(value)
        except (ValueError, TypeError, AttributeError):
            raise self._wrong(where, f"is `{value}`, which is no time", "`720h` or `30d`") from None


def _not_negative(value: int) -> int:
    if value < 0:
        raise ValueError(value)
    return value


def parse_bytes(text: str) -> int:
    """"20GB", "512 MiB", "1.5g": in units of 1024, as docker's storage options. ValueError for what is none."""
    units = {"": 0, "k": 1, "m": 2, "g": 3, "t": 4, "p": 5}
    return int(_scaled(text.lower().replace(" ", "").removesuffix("b").removesuffix("i"), lambda unit: 1024 ** units[unit]))


def parse_seconds(text: str) -> int:
    """"90s", "15m", "720h", "30d". ValueError for what is none."""
    return int(_scaled(text.replace(" ", ""), lambda unit: {"s": 1, "m": 60, "h": 3600, "d": 86400}[unit]))


def _scaled(text: str, scale: "Callable[[str], int]") -> float:
    digits = text.rstrip("abcdefghijklmnopqrstuvwxyz")
    if not digits or digits.strip("0123456789.") or digits.count(".") > 1 or digits == ".":
        raise ValueError(text)
    try:
        return float(digits) * scale(text[len(digits):])
    except KeyError:
        raise ValueError(text) from None
