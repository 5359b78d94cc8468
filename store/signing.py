"""Signatures of images in cosign's form: a small statement about a manifest's digest, signed with a key, kept beside the image in its repository.

In: names, keys as PEM; out: a manifest under the tag `sha256-<hex>.sig`, which also says what it is about (`subject`), so that it is found among
the referrers too. The only importer of `cryptography`, the extra [sign]. Read in this order: `sign`, `verified`, `require`.
"""

from base64 import b64decode, b64encode
from binascii import Error as Base64Error

import msgspec

from kernel.value import Value
from store.digest import Digest, digest_of, is_digest
from store.errors import DigestMismatch, InvalidImage, SizeMismatch, StoreError
from store.oci import OCI_CONFIG, OCI_INDEX, OCI_MANIFEST, Descriptor, Index, Manifest, from_json, parse_manifest, to_json
from store.reference import Reference, parse_reference
from store.registry.errors import NotInRegistry, Unsigned
from store.registry.progress import silent
from store.registry.repository import referrers_tag
from store.registry.upload import Uploads
from store.sealedkey import is_sealed, unseal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from typing import Any

    from store.registry.repository import Repository
    from store.registry.session import Session

SIMPLE_SIGNING = "application/vnd.dev.cosign.simplesigning.v1+json"
ARTIFACT = "application/vnd.dev.cosign.artifact.sig.v1+json"
SIGNATURE = "dev.cosignproject.cosign/signature"
KIND = "cosign container image signature"
_LIMIT = 1 << 20                         # bytes of a statement
_NEVER = "0001-01-01T00:00:00Z"          # signatures are not dated: the same one is the same bytes
_MOST = 100                              # signatures of one image that are looked at


class SigningUnavailable(StoreError):
    help = "install the extra: `pip install 'pybuild-pyup[sign]'`"

    def __str__(self) -> str:
        return "signatures need the package `cryptography`, which is not installed"


class BadKey(StoreError):
    """A key file that cannot be used."""

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(path, reason)
        self.path, self.reason = path, reason

    def __str__(self) -> str:
        return f"the key `{self.path}` {self.reason}"


class Signed(Value):
    """name: of the image; digest: of the manifest or index that was signed; where: name of the signature in the registry."""

    name: str
    digest: Digest
    where: str


# ---------------------------------------------------------------- statements
def statement(name: str, digest: str, annotations: "dict[str, str] | None" = None) -> bytes:
    """What is signed. name: the repository in full."""
    critical = {"identity": {"docker-reference": name}, "image": {"docker-manifest-digest": digest}, "type": KIND}
    return msgspec.json.encode({"critical": critical, "optional": annotations or None})


def _says(payload: bytes, digest: str) -> bool:
    """Whether it is a statement about this digest."""
    try:
        critical = msgspec.json.decode(payload)["critical"]
        return critical["type"] in (KIND, "atomic container signature") and critical["image"]["docker-manifest-digest"] == digest
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, KeyError, TypeError):
        return False


# ---------------------------------------------------------------- keys
class Key:
    """A private key. Raises SigningUnavailable, BadKey. password: asked for only if the file is sealed."""

    def __init__(self, path: str, password: "Callable[[], bytes]") -> None:
        serialization = _cryptography()
        pem = _read(path)
        try:
            if is_sealed(pem):
                self._key: "Any" = serialization.load_der_private_key(unseal(pem, password()), None)
            else:
                self._key = serialization.load_pem_private_key(pem, password() if b"ENCRYPTED" in pem else None)
        except StoreError as error:
            raise BadKey(path, str(error).removeprefix("the private key ")) from error
        except (ValueError, TypeError) as error:
            raise BadKey(path, f"is no private key that can be used ({str(error)[:100]})") from error
        self._path = path

    def sign(self, data: bytes) -> bytes:
        from cryptography.hazmat.primitives import hashes
        from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa

        if isinstance(self._key, ec.EllipticCurvePrivateKey):
            return self._key.sign(data, ec.ECDSA(hashes.SHA256()))
        if isinstance(self._key, ed25519.Ed25519PrivateKey):
            return self._key.sign(data)
        if isinstance(self._key, rsa.RSAPrivateKey):
            return self._key.sign(data, padding.PKCS1v15(), hashes.SHA256())
        raise BadKey(self._path, "is of a kind that signs nothing here")

    def public(self) -> "PublicKey":
        return PublicKey(self._path, self._key.public_key())


class PublicKey:
    def __init__(self, path: str, key: "Any" = None) -> None:
        """key: the key itself, instead of the file's."""
        if key is None:
            serialization = _cryptography()
            try:
                key = serialization.load_pem_public_key(_read(path))
            except (ValueError, TypeError) as error:
                raise BadKey(path, f"is no public key that can be used ({str(error)[:100]})") from error
        self._key: "Any" = key

    def verifies(self, data: bytes, signature: bytes) -> bool:
        from cryptography.exceptions import InvalidSignature
        from cryptography.hazmat.primitives import hashes
        from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa

        try:
            if isinstance(self._key, ec.EllipticCurvePublicKey):
                self._key.verify(signature, data, ec.ECDSA(hashes.SHA256()))
            elif isinstance(self._key, ed25519.Ed25519PublicKey):
                self._key.verify(signature, data)
            elif isinstance(self._key, rsa.RSAPublicKey):
                self._key.verify(signature, data, padding.PKCS1v15(), hashes.SHA256())
            else:
                return False
        except InvalidSignature:
            return False
        return True


def _cryptography() -> "Any":
    try:
        from cryptography.hazmat.primitives import serialization
    except ImportError:
        raise SigningUnavailable from None
    return serialization


def _read(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read(_LIMIT)
    except OSError as error:
        raise BadKey(path, f"cannot be read ({(error.strerror or '').lower()})") from error


# ---------------------------------------------------------------- signing
def sign(session: "Session", name: str, key: Key, annotations: "dict[str, str] | None" = None) -> Signed:
    """Sign what the name leads to in its registry, beside the signatures that it has. Raises NotInRegistry, RegistryError, BadKey."""
    reference = parse_reference(name)
    repository = session.repository(reference)
    about = _descriptor(repository, reference)
    payload = statement(reference.name, about.digest, annotations)
    tag = signature_tag(about.digest)
    head, earlier = _head(repository, tag), _manifest(repository, tag)
    layers = earlier.layers if earlier else ()
    if not any(_is_by(repository, layer, payload, key.public()) for layer in layers):
        signature = b64encode(key.sign(payload)).decode()
        layers = (*layers, Descriptor(SIMPLE_SIGNING, digest_of(payload), len(payload), annotations={SIGNATURE: signature}))
    _put(repository, tag, layers, payload, about, head)
    return Signed(reference.name, about.digest, f"{reference.name}:{tag}")


def signature_tag(digest: Digest) -> str:
    return f"{digest.replace(':', '-')}.sig"


def _descriptor(repository: "Repository", reference: Reference) -> Descriptor:
    head = repository.home_head(reference.digest or reference.tag)
    if head is not None:
        return Descriptor(head.media_type or OCI_MANIFEST, head.digest, head.size)
    found = repository.manifest(reference.digest or reference.tag)
    return Descriptor(found.media_type or OCI_MANIFEST, found.digest, len(found.data))


def _head(repository: "Repository", tag: str) -> "Digest | None":
    try:
        head = repository.home_head(tag)
    except NotInRegistry:
        return None
    return head.digest if head else None


def _manifest(repository: "Repository", reference: str) -> "Manifest | None":
    try:
        found = repository.manifest(reference)
    except NotInRegistry:
        return None
    document = parse_manifest(found.data, f"the signatures `{reference}`", found.media_type)
    return document if isinstance(document, Manifest) else None


def _is_by(repository: "Repository", layer: Descriptor, payload: bytes, key: PublicKey) -> bool:
    """Whether the layer is this very statement, signed with this key already."""
    return layer.digest == digest_of(payload) and key.verifies(payload, _signature(layer))


def _signature(layer: Descriptor) -> bytes:
    try:
        return b64decode((layer.annotations or {}).get(SIGNATURE, ""), validate=True)
    except (Base64Error, ValueError):
        return b""


def _put(repository: "Repository", tag: str, layers: "tuple[Descriptor, ...]", payload: bytes, about: Descriptor,
         earlier: "Digest | None") -> None:
    """earlier: the manifest that this one takes the place of."""
    config = msgspec.json.encode({"architecture": "", "created": _NEVER, "history": [{"created": _NEVER}] * len(layers), "os": "",
                                  "rootfs": {"type": "layers", "diff_ids": [layer.digest for layer in layers]}, "config": {}})
    uploads = Uploads(repository, silent)
    for data in (payload, config):
        if not repository.has_blob(digest_of(data)):
            uploads.put_bytes(data)
    data = to_json(Manifest(schema_version=2, media_type=OCI_MANIFEST, artifact_type=ARTIFACT, layers=layers, subject=about,
                            config=Descriptor(OCI_CONFIG, digest_of(config), len(config))))
    answer = repository.put_manifest(tag, data, OCI_MANIFEST)
    if not answer.get("OCI-Subject"):                    # a registry without referrers: the list of them is kept under a tag
        _refer(repository, Descriptor(OCI_MANIFEST, digest_of(data), len(data), artifact_type=ARTIFACT), about.digest, earlier)


def _refer(repository: "Repository", new: Descriptor, about: Digest, earlier: "Digest | None") -> None:
    tag = referrers_tag(about)
    try:
        known = from_json(Index, repository.manifest(tag).data, f"the list of what refers to `{about}`").manifests
    except (NotInRegistry, InvalidImage):
        known = ()
    manifests = (*(d for d in known if d.digest not in (new.digest, earlier)), new)
    repository.put_manifest(tag, to_json(Index(schema_version=2, media_type=OCI_INDEX, manifests=manifests)), OCI_INDEX)


# ---------------------------------------------------------------- verifying
def verified(session: "Session", reference: Reference, digest: Digest, keys: "Sequence[PublicKey]") -> "tuple[bytes, ...]":
    """Statements about this digest that one of the keys signed. Raises RegistryError where the registry cannot be asked."""
    repository = session.repository(reference)
    found: "dict[Digest, bytes]" = {}
    for count, layer in enumerate(_layers(repository, digest)):
        if count >= _MOST:
            break
        signature = _signature(layer)
        if not signature or layer.digest in found:
            continue
        try:
            payload = repository.blob(layer, _LIMIT)
        except (NotInRegistry, DigestMismatch, SizeMismatch):
            continue
        if _says(payload, digest) and any(key.verifies(payload, signature) for key in keys):
            found[layer.digest] = payload
    return tuple(found.values())


def _layers(repository: "Repository", digest: Digest) -> "Iterator[Descriptor]":
    """Everything that may be a signature: under cosign's tag, and among the referrers."""
    references = [signature_tag(digest)]
    seen: "set[str]" = set()
    while references:
        reference = references.pop(0)
        if reference not in seen:
            seen.add(reference)
            try:
                manifest = _manifest(repository, reference)
            except (InvalidImage, DigestMismatch):
                manifest = None
            for layer in manifest.layers if manifest else ():
                if layer.media_type == SIMPLE_SIGNING:
                    yield layer
        if len(seen) == 1:
            try:
                references += [d.digest for d in repository.referrers(digest, ARTIFACT)][:_MOST]
            except InvalidImage:
                pass


def require(session: "Session", reference: Reference, digest: Digest, keys: "tuple[str, ...]") -> None:
    """keys: PEM files. Raises Unsigned unless one of them signed the digest."""
    assert is_digest(digest)
    if not verified(session, reference, digest, [PublicKey(path) for path in keys]):
        raise Unsigned(reference.familiar(), digest, "no signature of it is by a key that the configuration names")
