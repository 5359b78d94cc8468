"""`--cache-from` and `--cache-to`: words -> addresses, checked before anything is built. In: "type=registry,ref=..,mode=max"; out: CacheAddress.

A bare word is an image reference, as with docker build. What is secret in an address is never shown.
"""

from builder.errors import BuildError
from builder.request import CacheAddress
from kernel.value import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

KINDS = ("registry", "local", "inline", "s3", "gha")
_FROM: "Mapping[str, tuple[str, ...]]" = {
    "registry": ("ref",),
    "local": ("src", "tag", "digest"),
    "s3": ("bucket", "region", "name", "prefix", "blobs_prefix", "manifests_prefix", "endpoint_url", "use_path_style", "access_key_id",
           "secret_access_key", "session_token"),
    "gha": ("scope", "url", "url_v2", "token", "timeout"),
}
_TO: "Mapping[str, tuple[str, ...]]" = {**_FROM, "local": ("dest", "tag"), "inline": ()}
_NEEDED = {("registry", True): "ref", ("registry", False): "ref", ("local", True): "dest", ("local", False): "src", ("s3", True): "bucket",
           ("s3", False): "bucket"}
# said in addresses for BuildKit, and true here anyway
_TAKEN_AS_READ = ("oci-mediatypes", "image-manifest", "version", "repository", "ghtoken", "touch_refresh", "upload_parallelism")
_HOW = ("mode", "compression", "compression-level", "force-compression", "ignore-error", "mounts")
COMPRESSIONS = ("uncompressed", "gzip", "zstd")
_TRUTHS = {"true": True, "1": True, "yes": True, "": True, "false": False, "0": False, "no": False}


class How(Value):
    """How a cache is written. maximal: every step's layer, not only the image's; mounts: ids of cache mounts that travel with it."""

    maximal: bool = False
    compression: str = ""                # "": what is here already, else gzip
    level: "int | None" = None
    forced: bool = False
    ignore_error: bool = False
    mounts: tuple[str, ...] = ()


def parse_address(word: str, *, to: bool, option: str = "") -> CacheAddress:
    """One word of --cache-to, or (not `to`) of --cache-from; option: what messages call it, if it is neither. Raises BuildError."""
    option = option or ("--cache-to" if to else "--cache-from")
    fields = _fields(word, option)
    kind = fields.pop("type", "")
    if not kind:
        raise BuildError(f"{option}: `{word}` has no type", help=f"type={'|'.join(k for k in KINDS if to or k != 'inline')}")
    known = _TO if to else _FROM
    if kind not in known:
        help = "inline caches are read from the image that has them: type=registry" if kind == "inline" else f"the types are {', '.join(known)}"
        raise BuildError(f"{option}: there is no cache of type `{kind}`", help=help)
    for name in fields:
        if name not in (*known[kind], *_TAKEN_AS_READ, *(_HOW if to else ())):
            raise BuildError(f"{option}: a cache of type `{kind}` has no `{name}`", help=f"it has {', '.join((*known[kind], *(_HOW if to else ())))}")
    needed = _NEEDED.get((kind, to), "")
    if needed and not fields.get(needed):
        raise BuildError(f"{option}: a cache of type `{kind}` needs `{needed}`", help=f"{option} type={kind},{needed}=..")
    address = CacheAddress(kind, tuple(sorted((name, value) for name, value in fields.items() if name not in _TAKEN_AS_READ)))
    if to:
        how = how_of(address, option)
        if kind == "inline" and (how.maximal or how.mounts):
            raise BuildError(f"{option}: an inline cache has the image's own layers only", help="type=registry takes mode=max and mounts=")
    return address


def _fields(word: str, option: str) -> dict[str, str]:
    if "=" not in word:
        return {"type": "registry", "ref": word}
    if '"' in word:
        import csv

        parts = next(csv.reader([word]))
    else:
        parts = word.split(",")
    fields: dict[str, str] = {}
    for part in parts:
        name, equals, value = part.partition("=")
        if not equals:
            raise BuildError(f"{option}: `{part}` in `{word}` is no NAME=VALUE")
        fields[name.strip().lower()] = value
    return fields


def how_of(address: CacheAddress, option: str = "--cache-to") -> How:
    """Raises BuildError."""
    mode, compression, level = address.option("mode", "min"), address.option("compression"), address.option("compression-level")
    if mode not in ("min", "max"):
        raise BuildError(f"{option}: there is no mode `{mode}`", help="mode=min: the image's own layers; mode=max: those of every step")
    if compression and compression not in COMPRESSIONS:
        raise BuildError(f"{option}: there is no compression `{compression}`", help=f"there are {', '.join(COMPRESSIONS)}")
    if level and not level.isdecimal():
        raise BuildError(f"{option}: `{level}` is no compression level")
    return How(mode == "max", compression, int(level) if level else None, truth(address, "force-compression"), truth(address, "ignore-error"),
               tuple(dict.fromkeys(name for name in address.option("mounts").split(";") if name)))


def truth(address: CacheAddress, name: str) -> bool:
    """A yes-or-no option; False if it is not given. Raises BuildError."""
    value = dict(address.options).get(name)
    if value is None:
        return False
    if value.lower() not in _TRUTHS:
        raise BuildError(f"`{name}={value}` of a cache is neither true nor false")
    return _TRUTHS[value.lower()]


def title(address: CacheAddress) -> str:
    """The address for people."""
    if address.kind == "registry":
        return address.option("ref")
    if address.kind == "local":
        return address.option("dest") or address.option("src")
    if address.kind == "s3":
        return f"s3://{address.option('bucket')}/{address.option('prefix')}{address.option('name')}"
    if address.kind == "gha":
        return f"GitHub's cache ({address.option('scope', 'buildkit')})"
    return "the image itself"
