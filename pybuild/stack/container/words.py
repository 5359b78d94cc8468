"""Options of `container run` and `create` in docker's spelling -> values of the runner. Raises Misuse. Loaded only for options that are given."""

import os

from pybuild.scanner import Misuse
from runner.container import Mount
from runner.endpoint import PortMapping
from runner.load import mount as volume_words
from runner.load import port as port_words
from runner.load import unit
from runner.upkeep import LogOptions, Restart
from sandbox.spec import Device, Rlimit

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    Pairs = tuple[tuple[str, str], ...]


def size(text: str, option: str) -> int:
    """"64m" as bytes; -1 stays."""
    if text == "-1":
        return -1
    try:
        return unit.size(text)
    except ValueError as error:
        raise Misuse(f"`{option} {text}`: {error}", "for example `512m` or `2g`") from None


def nanoseconds(text: "str | None", option: str) -> int:
    if not text:
        return 0
    try:
        return unit.duration(text)
    except ValueError as error:
        raise Misuse(f"`{option} {text}`: {error}", "for example `30s` or `1m30s`") from None


def pairs(words: list[str], option: str, *, files: "list[str] | None" = None) -> "Pairs":
    """`K=V`, or `K` alone for an empty value; lines of `files` first."""
    found: dict[str, str] = {}
    for word in (*(line for path in files or () for line in lines(path, option)), *words):
        key, _, value = word.partition("=")
        if not key:
            raise Misuse(f"`{option} {word}` has no name")
        found[key] = value
    return tuple(found.items())


def lines(path: str, option: str) -> list[str]:
    """Lines of a file of options, without empty ones and comments."""
    try:
        with open(path, encoding="utf-8", errors="surrogateescape") as file:
            return [line.rstrip("\r\n") for line in file if line.strip() and not line.lstrip().startswith("#")]
    except OSError as error:
        raise Misuse(f"`{option} {path}`: {(error.strerror or '').lower()}") from None


def environment(words: list[str], files: list[str]) -> tuple[str, ...]:
    """`K=V`; `K` alone takes the value of our own environment, and is left out if there is none."""
    found: dict[str, str] = {}
    for word in (*(line.lstrip() for path in files for line in lines(path, "--env-file")), *words):
        name, equals, value = word.partition("=")
        if not name or (not equals and any(c.isspace() for c in name)):
            raise Misuse(f"`{word}` is no NAME=VALUE")
        if equals:
            found[name] = value
        elif (own := os.environ.get(name)) is not None:
            found[name] = own
        else:
            found.pop(name, None)
    return tuple(f"{name}={value}" for name, value in found.items())


def ports(words: list[str]) -> tuple[PortMapping, ...]:
    """`[IP:][HOST:]CONTAINER[/PROTOCOL]`, ranges included."""
    found = []
    for word in words:
        try:
            parsed = port_words.parse(word)
        except ValueError as error:
            raise Misuse(f"`--publish {word}`: {error}", "for example `8080:80` or `127.0.0.1:8080:80/tcp`") from None
        for one in parsed:
            first, _, last = str(one.get("published", "0")).partition("-")
            found.append(PortMapping(int(one["target"]), str(one["protocol"]), str(one.get("host_ip", "")), int(first), int(last or 0)))
    return tuple(found)


def volume(word: str) -> Mount:
    """`[SOURCE:]TARGET[:OPTIONS]`; a source that is a path is made if it is missing, and may be relative."""
    try:
        parsed: dict[str, Any] = dict(volume_words.parse(word))
    except ValueError as error:
        raise Misuse(f"`--volume {word}`: {error}", "for example `data:/var/lib/data` or `./site:/srv:ro`") from None
    if unknown := volume_words.unknown(word):
        raise Misuse(f"`--volume {word}`: there is no option `{unknown[0]}`")
    bind = parsed["type"] == "bind"
    source = str(parsed.get("source", ""))
    return Mount(str(parsed["type"]), str(parsed["target"]), os.path.abspath(os.path.expanduser(source)) if bind else source,
                 readonly=bool(parsed.get("read_only")), create=bind, propagation=str(parsed["bind"].get("propagation", "")) if bind else "",
                 nocopy=not bind and bool(parsed.get("volume", {}).get("nocopy")))


_FLAGS = ("readonly", "ro", "rw", "volume-nocopy", "bind-nonrecursive")


def mount(word: str) -> Mount:
    """`type=bind|volume|tmpfs|image,source=..,target=..[,..]`."""
    fields: dict[str, str] = {}
    options: list[str] = []
    labels: list[str] = []
    for part in _split(word):
        key, equals, value = part.partition("=")
        key = {"src": "source", "destination": "target", "dst": "target", "ro": "readonly"}.get(key.lower(), key.lower())
        if key == "volume-opt":
            options.append(value)
        elif key == "volume-label":
            labels.append(value)
        elif equals or key in _FLAGS:
            fields[key] = value if equals else "true"
        else:
            raise Misuse(f"`--mount {word}`: `{part}` is no KEY=VALUE")
    kind = fields.pop("type", "volume")
    if "target" not in fields:
        raise Misuse(f"`--mount {word}`: there is no target", "say where with `target=/PATH`")
    source, target = fields.pop("source", ""), fields.pop("target")
    made = Mount(kind, target, os.path.abspath(source) if kind == "bind" and source else source, driver_options=pairs(options, "volume-opt"),
                 labels=pairs(labels, "volume-label"))
    changes: dict[str, Any] = {}
    for key, value in fields.items():
        changes |= _field(word, kind, key, value)
    return made._replace(**changes)


def _field(word: str, kind: str, key: str, value: str) -> "dict[str, Any]":
    true = value.lower() in ("true", "1", "")
    if key in ("readonly", "rw"):
        return {"readonly": true == (key == "readonly")}
    if key == "consistency":
        if value not in ("default", "consistent", "cached", "delegated"):
            raise Misuse(f"`--mount {word}`: there is no consistency `{value}`", "there are default, consistent, cached and delegated")
        return {}
    if kind == "bind":
        if key == "bind-propagation":
            return {"propagation": value}
        if key == "bind-nonrecursive":
            return {"recursive": not true}
        if key == "bind-recursive":
            return {"recursive": value != "disabled"}
        if key == "bind-create-src":
            return {"create": true}
    if kind == "volume":
        if key == "volume-nocopy":
            return {"nocopy": true}
        if key == "volume-subpath":
            return {"subpath": value}
        if key == "volume-driver":
            return {"driver": value}
    if kind == "image" and key == "image-subpath":
        return {"subpath": value}
    if kind == "tmpfs" and key == "tmpfs-size":
        return {"size": size(value, "tmpfs-size")}
    if kind == "tmpfs" and key == "tmpfs-mode":
        if value.strip("01234567"):
            raise Misuse(f"`--mount {word}`: `{value}` is no octal mode")
        return {"mode": int(value, 8)}
    raise Misuse(f"`--mount {word}`: a mount of type {kind} has no option `{key}`")


def _split(word: str) -> list[str]:
    """At commas, but for those in double quotes, as a line of CSV."""
    parts, quoted = [""], False
    for character in word:
        if character == '"':
            quoted = not quoted
        elif character == "," and not quoted:
            parts.append("")
        else:
            parts[-1] += character
    return [part for part in parts if part]


def tmpfs(word: str) -> Mount:
    """`TARGET[:OPTIONS]`."""
    target, _, options = word.partition(":")
    return Mount("tmpfs", target, options=tuple(option for option in options.split(",") if option))


def device(word: str) -> Device:
    """`HOST[:CONTAINER][:rwm]`."""
    parts = word.split(":")
    if len(parts) > 3 or not parts[0].startswith("/"):
        raise Misuse(f"`--device {word}` is no HOST[:CONTAINER][:rwm]")
    permissions = parts.pop() if len(parts) > 1 and parts[-1] and not parts[-1].strip("rwm") else "rwm"
    return Device(parts[0], parts[1] if len(parts) > 1 else parts[0], permissions)


def device_rule(word: str) -> None:
    """`TYPE MAJOR:MINOR ACCESS`: only looked at."""
    from runner.nodes import parse_rule

    try:
        parse_rule(word)
    except ValueError as error:
        raise Misuse(f"`--device-cgroup-rule {word}`: {error}") from None


def ulimit(word: str) -> Rlimit:
    """`NAME=SOFT[:HARD]`."""
    name, _, value = word.partition("=")
    soft, _, hard = value.partition(":")
    try:
        return Rlimit(name, int(soft), int(hard or soft))
    except ValueError:
        raise Misuse(f"`--ulimit {word}` is no NAME=SOFT[:HARD]", "for example `nofile=1024:4096`") from None


def restart(word: str) -> Restart:
    """`no`, `always`, `unless-stopped`, `on-failure[:N]`."""
    name, colon, maximum = word.partition(":")
    if name not in ("no", "always", "unless-stopped", "on-failure") or (colon and (name != "on-failure" or not maximum.isdigit())):
        raise Misuse(f"`--restart {word}` is no restart policy", "it is `no`, `always`, `unless-stopped`, `on-failure` or `on-failure:N`")
    return Restart(name, int(maximum or 0))


def rates(words: list[str], option: str, *, sizes: bool) -> tuple[tuple[str, int], ...]:
    """`DEVICE:RATE`."""
    found = []
    for word in words:
        path, _, rate = word.rpartition(":")
        if not path.startswith("/") or not (sizes or rate.isdigit()):
            raise Misuse(f"`{option} {word}` is no DEVICE:RATE", f"for example `{option} /dev/sda:{'1mb' if sizes else '1000'}`")
        found.append((path, size(rate, option) if sizes else int(rate)))
    return tuple(found)


def logging(driver: "str | None", words: list[str]) -> LogOptions:
    """Driver and options of a log."""
    options = dict(pairs(words, "--log-opt"))
    made = LogOptions(driver or "json-file", options=tuple(sorted(options.items())))
    if made.driver not in ("json-file", "local", "none"):
        raise Misuse(f"there is no log driver `{made.driver}`", "there are json-file, local and none")
    if other := sorted(set(options) - {"max-size", "max-file"}):
        raise Misuse(f"there is no log option `{other[0]}`", "there are max-size and max-file")
    if "max-size" in options and options["max-size"] != "-1":
        made = made._replace(max_size=size(options["max-size"], "--log-opt max-size"))
    if "max-file" in options:
        if not options["max-file"].isdigit() or not int(options["max-file"]):
            raise Misuse(f"`--log-opt max-file={options['max-file']}` is no positive number")
        if int(options["max-file"]) > 1 and not made.max_size:
            raise Misuse("`--log-opt max-file` needs `max-size` beside it")
        made = made._replace(max_file=int(options["max-file"]))
    return made


def hosts(words: list[str]) -> "Pairs":
    """`NAME:ADDRESS` or `NAME=ADDRESS`; `host-gateway` is an address."""
    found = []
    for word in words:
        separator = "=" if "=" in word else ":"
        name, _, address = word.partition(separator)
        try:
            found.append((name, address if address == "host-gateway" else port_words.address(address)))
        except ValueError as error:
            raise Misuse(f"`--add-host {word}`: {error}", "for example `--add-host db:10.0.0.7`") from None
    return tuple(found)
