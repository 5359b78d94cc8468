"""RUN --mount=...: the raw flag goes in, one typed mount with every default filled in comes out."""

from posixpath import normpath

from kernel.value import Value
from lang.errors import SyntaxFault
from lang.nodes import Word
from lang.source import Source

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import NoReturn, TypeAlias

    from lang.refs import Ref

    Mount: TypeAlias = "BindMount | CacheMount | TmpfsMount | SecretMount | SshMount"

KINDS = ("bind", "cache", "tmpfs", "secret", "ssh")
SHARING = ("shared", "private", "locked")
SYNONYMS = {"src": "source", "dst": "target", "destination": "target", "ro": "readonly", "rw": "readwrite"}
KEYS = ("type", "from", "source", "target", "readonly", "readwrite", "id", "sharing", "required", "mode", "uid", "gid", "size", "env",
        *SYNONYMS)
# which keys only some kinds have
ONLY = {"required": ("secret", "ssh"), "size": ("tmpfs",), "sharing": ("cache",), "env": ("secret",), "mode": ("cache", "secret", "ssh"),
        "uid": ("cache", "secret", "ssh"), "gid": ("cache", "secret", "ssh"), "from": ("bind", "cache", "tmpfs", "ssh"),
        "source": ("bind", "cache", "tmpfs", "secret")}
TRUE, FALSE = ("1", "t", "T", "TRUE", "true", "True"), ("0", "f", "F", "FALSE", "false", "False")
UNITS = "kmgtp"


class BindMount(Value):
    """Files of the context, a stage or an image. origin: None is the build context. Writes are thrown away."""

    target: str
    source: str                                           # absolute in its origin
    origin: "Ref | None"
    read_only: bool


class CacheMount(Value):
    """A directory that builds share. source: where in `origin` its first content is; mode, uid, gid: of a fresh one."""

    target: str
    id: str
    sharing: str
    read_only: bool
    source: str
    origin: "Ref | None"
    mode: "int | None"
    uid: "int | None"
    gid: "int | None"


class TmpfsMount(Value):
    target: str
    size: int                                             # bytes, 0: no limit
    read_only: bool


class SecretMount(Value):
    """target: "" for no file; env: "" for no variable."""

    id: str
    target: str
    env: str
    required: bool
    mode: int
    uid: int
    gid: int


class SshMount(Value):
    """target: "" for the usual place, /run/buildkit/ssh_agent.N."""

    id: str
    target: str
    required: bool
    mode: int
    uid: int
    gid: int


class Field(Value):
    """One `key=value`, or a key alone. word: all of it; name, text: where key and value stand."""

    key: str
    value: "str | None"
    word: Word
    name: Word
    text: Word


def origin(mount: Word, source: Source) -> "Field | None":
    """The `from` of a mount that has one. Raises SyntaxFault."""
    return next((field for field in _fields(mount, source) if field.key == "from" and field.value), None)


def check_fields(mount: Word, source: Source, dialect: str) -> None:
    """What can be said of a mount before its values are expanded. Raises SyntaxFault."""
    for field in _fields(mount, source):
        if field.key == "from" and "$" in (field.value or "").rstrip("$") and not dialect:
            raise SyntaxFault(source, field.text.span, "a variable in `from`",
                              "name the stage or image with FROM ... AS name, or begin the file with `# syntax=pybuild`")


def parse_mount(mount: Word, source: Source, expand: "Callable[[str, Word], str]", refer: "Callable[[str, Word], Ref]", cwd: str) -> "Mount":
    """The mount that a flag asks for.

    expand: replaces the variables of a value; refer: what `from` names, as it is written; cwd: for relative targets.
    Raises SyntaxFault.
    """
    return _Parsing(mount, source, expand, refer, cwd).mount()


class _Parsing:
    """A flag whose keys are being collected, then checked against its type."""

    __slots__ = ("cwd", "fields", "found", "kind", "refer", "source", "where", "word")

    def __init__(self, word: Word, source: Source, expand: "Callable[[str, Word], str]", refer: "Callable[[str, Word], Ref]", cwd: str) -> None:
        self.word, self.source, self.refer, self.cwd = word, source, refer, cwd
        self.found: dict[str, str] = {}
        self.fields: dict[str, Field] = {}
        self.where: dict[str, Word] = {}                  # the value of a key, or the key that has none
        for field in _fields(word, source):
            key = SYNONYMS.get(field.key, field.key)
            if not field.key:
                self.fail(field.word, "a blank field in a mount", "type=cache,target=/directory")
            if field.value is None and key not in ("readonly", "readwrite", "required"):
                self.fail(field.word, f"`{field.key}` without a value", f"{field.key}=..." if field.key in KEYS else _nearest(field.key))
            if key not in KEYS:
                self.fail(field.name, f"a mount has no key `{field.key}`", _nearest(field.key))
            if key in ("readonly", "readwrite"):
                self.found.pop("readonly", None)
                self.found.pop("readwrite", None)         # the last of the two decides
            self.found[key] = "true" if field.value is None else field.value if key == "from" else expand(field.value, field.text)
            self.fields[key] = field
            self.where[key] = field.text if field.value else field.word
        self.kind = self.found.get("type", "bind").lower()
        if self.kind not in KINDS:
            from lang.suggest import nearest
            self.fail(self.where["type"], f"`{self.found['type']}` is no type of mount", nearest(self.kind, KINDS) or ", ".join(KINDS))
        for key, kinds in ONLY.items():
            if key in self.found and self.kind not in kinds:
                self.fail(self.fields[key].name, f"`{key}` in a mount of type {self.kind}")

    def fail(self, word: Word, message: str, help: str = "") -> "NoReturn":
        raise SyntaxFault(self.source, word.span, message, help)

    def mount(self) -> "Mount":
        text = self.found.get
        mode, uid, gid = self.number("mode", 8), self.number("uid"), self.number("gid")
        if self.kind == "secret":
            return self.secret(0o400 if mode is None else mode, uid or 0, gid or 0)
        if self.kind == "ssh":
            return SshMount(text("id") or "default", text("target", ""), self.bool("required"), 0o600 if mode is None else mode, uid or 0, gid or 0)
        target = self.target()
        if self.kind == "tmpfs":
            return TmpfsMount(target, self.size(), self.read_only(False))
        origin = self.refer(text("from", ""), self.where["from"]) if text("from") else None
        source = normpath("/" + text("source", "").lstrip("/"))
        if self.kind == "bind":
            return BindMount(target, source, origin, self.read_only(True))
        sharing = text("sharing", "shared").lower()
        if sharing not in SHARING:
            self.fail(self.where["sharing"], f"`{text('sharing')}` is no way to share a cache", ", ".join(SHARING))
        return CacheMount(target, text("id") or normpath(text("target", "")), sharing, self.read_only(False), source, origin, mode, uid, gid)

    def secret(self, mode: int, uid: int, gid: int) -> SecretMount:
        id, source, target, env = (self.found.get(key, "") for key in ("id", "source", "target", "env"))
        if id and source:
            self.fail(self.fields["source"].word, "both `id` and `source` in a secret mount")
        id = id or source or target.rstrip("/").rpartition("/")[2]
        if not id:
            self.fail(self.word, "a secret mount without `id`, `source` or `target`")
        if not target and not env:
            target = "/run/secrets/" + id.rstrip("/").rpartition("/")[2]
        return SecretMount(id, self.absolute(target) if target else "", env, self.bool("required"), mode, uid, gid)

    def target(self) -> str:
        target = self.found.get("target", "")
        path = self.absolute(target)
        if not target or normpath(path) == "/":
            self.fail(self.where.get("target", self.word), f"a mount on `{path}`" if target else "a mount without a target", "target=/directory")
        return path

    def absolute(self, path: str) -> str:
        return path if path.startswith("/") else normpath("/" + f"{self.cwd}/{path}".lstrip("/"))

    def read_only(self, usually: bool) -> bool:
        if "readonly" in self.found:
            return self.bool("readonly")
        return not self.bool("readwrite") if "readwrite" in self.found else usually

    def bool(self, key: str) -> bool:
        value = self.found.get(key, "false")
        if value not in TRUE + FALSE:
            self.fail(self.where[key], f"`{value}` is neither true nor false")
        return value in TRUE

    def number(self, key: str, base: int = 10) -> "int | None":
        value = self.found.get(key)
        if value is None:
            return None
        if not value.isascii() or value.strip("01234567" if base == 8 else "0123456789") or not value or len(value) > 20 or int(value, base) >= 2**32:
            self.fail(self.where[key], f"`{value}` is no {key}", "in octal" if base == 8 else "")
        return int(value, base)

    def size(self) -> int:
        text = self.found.get("size")
        if text is None:
            return 0
        number = text.lower().removesuffix("b").removesuffix("i")
        factor = 1
        if number[-1:] and number[-1] in UNITS:
            factor, number = 1024 ** (UNITS.index(number[-1]) + 1), number[:-1]
        whole, _, part = number.strip().partition(".")
        if not whole or not (whole + part).isascii() or not (whole + (part or "0")).isdecimal() or len(number) > 20:
            self.fail(self.where["size"], f"`{text}` is no size", "for example `64m`")
        return int(whole) * factor + (int(part) * factor // 10 ** len(part) if part else 0)


def _nearest(key: str) -> str:
    from lang.suggest import nearest
    return nearest(key, KEYS)


def _fields(mount: Word, source: Source) -> "list[Field]":
    """The fields of one line of comma-separated values; a field with a comma in it stands in double quotes."""
    fields: list[Field] = []
    at = 0
    while at <= len(mount.text):
        if mount.text.startswith('"', at):
            word, at = _quoted(mount, source, at)
        else:
            comma = mount.text.find(",", at)
            end = len(mount.text) if comma < 0 else comma
            word, at = _part(mount, at, end), end
            if '"' in word.text:
                raise SyntaxFault(source, word.span, "a quote inside a field of a mount", 'quote the whole field: "key=a,b"')
        key, equals, value = word.text.partition("=")
        fields.append(Field(key.lower(), value if equals else None, word, word.part(0, key), word.part(len(key) + 1, value)))
        at += 1
    return fields


def _quoted(mount: Word, source: Source, start: int) -> "tuple[Word, int]":
    """A field in double quotes, where two of them are one of its text; and where it ends."""
    text, at = mount.text, start
    kept: list[int] = []
    while True:
        end = text.find('"', at + 1)
        if end < 0:
            raise SyntaxFault(source, _part(mount, start, len(text)).span, "no closing quote in a field of a mount")
        kept += range(at + 1 - start, end - start)
        at = end + 1
        if not text.startswith('"', at):
            break
        kept.append(at - start)
    if at < len(text) and text[at] != ",":
        raise SyntaxFault(source, _part(mount, start, at + 1).span, "text after the closing quote of a field")
    return _part(mount, start, at).only(kept), at


def _part(mount: Word, start: int, end: int) -> Word:
    return mount.part(start, mount.text[start:end])
