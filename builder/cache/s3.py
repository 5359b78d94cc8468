"""A cache in a bucket of S3, or of what speaks like it: manifests under names, blobs under their digests.

Who asks is said by the address, by AWS_ACCESS_KEY_ID and its like, or by a profile of ~/.aws/credentials, in this order.
"""

import os

from builder.cache.address import title, truth
from builder.cache.errors import BlobGone, CacheError
from builder.cache.http import PATIENCE, Answer, Http, Missing, Part, word
from builder.cache.sigv4 import EMPTY, Identity, encode_path, sign
from builder.errors import BuildError
from store.digest import digest_of, hex_of
from store.oci import MANIFEST_LIMIT, Descriptor
from store.registry.proxy import is_loopback

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from builder.cache.depot import Depot
    from builder.cache.http import Patience
    from builder.request import CacheAddress

_LARGEST = 5 << 30                       # bytes that one PUT may have


def open_s3(address: "CacheAddress", environment: "Mapping[str, str] | None" = None, patience: "Patience" = PATIENCE) -> "S3Depot":
    """Raises BuildError if nobody says who asks."""
    environment = os.environ if environment is None else environment
    region = address.option("region") or environment.get("AWS_REGION") or environment.get("AWS_DEFAULT_REGION") or "us-east-1"
    bucket, endpoint = address.option("bucket"), address.option("endpoint_url") or environment.get("AWS_ENDPOINT_URL_S3", "")
    if not bucket.replace("-", "").replace(".", "").isalnum() or not bucket.isascii():
        raise BuildError(f"`{bucket}` is no name of a bucket")
    if endpoint and not endpoint.startswith(("http://", "https://")):
        raise BuildError(f"the endpoint `{endpoint}` of a cache is no http(s) URL")
    scheme, _, host = (endpoint or f"https://s3.{region}.amazonaws.com").rstrip("/").partition("://")
    name = host.partition(":")[0]
    if truth(address, "use_path_style") or is_loopback(name) or name.replace(".", "").isdecimal():
        base = f"{scheme}://{host}/{bucket}"
    else:
        base = f"{scheme}://{bucket}.{host}"
    prefix, names = address.option("prefix"), tuple(n for n in address.option("name").split(";") if n) or ("pybuild",)
    blobs, manifests = address.option("blobs_prefix", "blobs/"), address.option("manifests_prefix", "manifests/")
    return S3Depot(title(address), base, region, identity_of(address, environment), prefix + blobs, prefix + manifests, names,
                   Http(title(address), environment, patience))


def identity_of(address: "CacheAddress", environment: "Mapping[str, str]") -> Identity:
    """Raises BuildError."""
    variables = {name.lower().removeprefix("aws_"): value for name, value in environment.items() if name.startswith("AWS_")}
    for source in (dict(address.options), variables, _profile(environment)):
        if source.get("access_key_id") and source.get("secret_access_key"):
            return Identity(source["access_key_id"], source["secret_access_key"], source.get("session_token", ""))
    raise BuildError("there are no credentials for a cache in S3",
                     help="AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY have them, or a profile in ~/.aws/credentials")


def _profile(environment: "Mapping[str, str]") -> "dict[str, str]":
    from configparser import ConfigParser, Error

    path = environment.get("AWS_SHARED_CREDENTIALS_FILE") or f"{environment.get('HOME') or os.path.expanduser('~')}/.aws/credentials"
    parser = ConfigParser(interpolation=None)
    try:
        parser.read(path)
        section = dict(parser[environment.get("AWS_PROFILE") or "default"])
    except (Error, KeyError, OSError, UnicodeDecodeError):
        return {}
    return {name.removeprefix("aws_"): value for name, value in section.items()}


class S3Depot:
    """blobs, manifests: what the keys of each begin with; names: under which a cache is kept, the first of them is the one that is read."""

    def __init__(self, title: str, base: str, region: str, identity: Identity, blobs: str, manifests: str, names: tuple[str, ...],
                 http: Http) -> None:
        self.title = title
        self._base, self._region, self._identity = base, region, identity
        self._blobs, self._manifests, self._names, self._http = blobs, manifests, names, http

    def _ask(self, method: str, key: str, payload: str = EMPTY, body: "bytes | Part" = b"") -> Answer:
        url = f"{self._base}/{encode_path(key)}"
        return self._http.ask(method, url, lambda: sign(method, url, self._region, self._identity, payload), body)

    def load(self) -> "bytes | None":
        answer = self._ask("GET", self._manifests + self._names[0])
        if answer.status == 404 and b"NoSuchBucket" not in answer.data:
            return None
        if answer.status != 200:
            raise self._refused(answer)
        if len(answer.data) > MANIFEST_LIMIT:
            raise CacheError(self.title, f"has a manifest of more than {MANIFEST_LIMIT} bytes")
        return answer.data

    def keep(self, manifest: bytes) -> None:
        for name in self._names:
            answer = self._ask("PUT", self._manifests + name, hex_of(digest_of(manifest)), manifest)
            if answer.status != 200:
                raise self._refused(answer)

    def has(self, blob: Descriptor) -> bool:
        answer = self._ask("HEAD", self._blobs + blob.digest)
        if answer.status not in (200, 404):
            raise self._refused(answer)
        return answer.status == 200 and answer.headers.get("Content-Length") == str(blob.size)

    def put(self, blob: Descriptor, fd: int) -> None:
        if blob.size > _LARGEST:
            raise CacheError(self.title, f"takes no blobs of more than {_LARGEST >> 30} GiB, and a layer has {blob.size} bytes")
        answer = self._ask("PUT", self._blobs + blob.digest, hex_of(blob.digest), Part(fd, 0, blob.size))
        if answer.status != 200:
            raise self._refused(answer)

    def take(self, blob: Descriptor, other: "Depot") -> bool:
        return False

    def chunks(self, blob: Descriptor) -> "Iterator[bytes]":
        url = f"{self._base}/{encode_path(self._blobs + blob.digest)}"
        try:
            yield from self._http.chunks(blob.size, lambda offset: (url, sign("GET", url, self._region, self._identity, EMPTY)))
        except Missing as error:
            raise BlobGone(self.title, blob.digest) from error

    def _refused(self, answer: Answer) -> CacheError:
        if answer.status in (301, 307):
            region = answer.headers.get("x-amz-bucket-region", "")
            there = f" (`{region}`)" if region.replace("-", "").isalnum() else ""
            return CacheError(self.title, f"is in another region{there}", "region=.. says which one")
        return CacheError(self.title, f"says {answer.status}{word(answer.data)}")

    def close(self) -> None:
        self._http.close()
