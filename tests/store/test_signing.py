"""Signatures: cosign's form, what verifies and what does not, and the policy that wants them."""

import hashlib
import json
import os
import subprocess
from base64 import b64decode, b64encode
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from store.config import Config, Trust
from store.digest import Digest
from store.reference import parse_reference
from store.registry.errors import NotInRegistry, Unsigned
from store.registry.pull import pull
from store.registry.session import Session
from store.sealedkey import SealedKeyError, _poly1305, _stream, open_box, unseal
from store.signing import SIGNATURE, SIMPLE_SIGNING, BadKey, Key, PublicKey, sign, signature_tag, verified
from store.store import Store
from tests.store.making import member, tar_of
from tests.store.registry.conftest import Sessions, registry, session, sessions, waits  # noqa: F401  # fixtures
from tests.store.registry.fake import FakeRegistry

ONE = tar_of(member("a", content=b"1"))
KINDS: dict[str, Any] = {"ec": lambda: ec.generate_private_key(ec.SECP256R1()), "ed25519": ed25519.Ed25519PrivateKey.generate,
         "rsa": lambda: rsa.generate_private_key(65537, 2048)}


def pair(directory: Path, name: str = "key", kind: str = "ec", password: bytes = b"") -> tuple[str, str]:
    """(private, public) PEM files."""
    key: Any = KINDS[kind]()
    secret: Any = serialization.BestAvailableEncryption(password) if password else serialization.NoEncryption()
    (directory / f"{name}.pem").write_bytes(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, secret))
    (directory / f"{name}.pub").write_bytes(key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo))
    return str(directory / f"{name}.pem"), str(directory / f"{name}.pub")


def no_password() -> bytes:
    raise AssertionError("asked for a password")


@pytest.mark.parametrize("kind", list(KINDS))
@pytest.mark.parametrize("native", [True, False])
def test_signed_image_verifies(session: Session, tmp_path: Path, kind: str, native: bool) -> None:      # noqa: F811
    private, public = pair(tmp_path, kind=kind)
    with FakeRegistry(referrers=native) as there:
        digest = there.image("app", "1", ONE)
        signed = sign(session, f"{there.host}/app:1", Key(private, no_password), {"who": "me"})
        assert (signed.digest, signed.where) == (digest, f"{there.host}/app:{signature_tag(Digest(digest))}")
        found = verified(session, parse_reference(f"{there.host}/app:1"), Digest(digest), [PublicKey(public)])
        assert len(found) == 1 and json.loads(found[0])["optional"] == {"who": "me"}


def test_signature_has_the_form_that_cosign_reads(session: Session, registry: FakeRegistry, tmp_path: Path) -> None:      # noqa: F811
    private, public = pair(tmp_path)
    digest = registry.image("app", "1", ONE)
    sign(session, f"{registry.host}/app:1", Key(private, no_password))
    manifest = json.loads(registry.manifests["app"][f"sha256-{digest[7:]}.sig"][1])
    layer = manifest["layers"][0]
    payload = registry.blobs["app"][layer["digest"]]
    assert json.loads(payload) == {"critical": {"identity": {"docker-reference": f"{registry.host}/app"}, "image": {"docker-manifest-digest": digest},
                                                "type": "cosign container image signature"}, "optional": None}
    assert layer["mediaType"] == SIMPLE_SIGNING and manifest["subject"]["digest"] == digest
    key: Any = serialization.load_pem_public_key(Path(public).read_bytes())
    from cryptography.hazmat.primitives import hashes

    key.verify(b64decode(layer["annotations"][SIGNATURE]), payload, ec.ECDSA(hashes.SHA256()))


@pytest.mark.parametrize("kind", ["ec", "rsa"])
def test_openssl_verifies_what_was_signed(session: Session, registry: FakeRegistry, tmp_path: Path, kind: str) -> None:      # noqa: F811
    private, public = pair(tmp_path, kind=kind)
    digest = registry.image("app", "1", ONE)
    sign(session, f"{registry.host}/app:1", Key(private, no_password))
    layer = json.loads(registry.manifests["app"][f"sha256-{digest[7:]}.sig"][1])["layers"][0]
    (tmp_path / "payload").write_bytes(registry.blobs["app"][layer["digest"]])
    (tmp_path / "signature").write_bytes(b64decode(layer["annotations"][SIGNATURE]))
    argv = ["openssl", "dgst", "-sha256", "-verify", public, "-signature", str(tmp_path / "signature"), str(tmp_path / "payload")]
    assert subprocess.run(argv, capture_output=True, text=True).stdout == "Verified OK\n"


def test_what_openssl_signed_as_cosign_lays_it_out_verifies(session: Session, registry: FakeRegistry, tmp_path: Path) -> None:      # noqa: F811
    """Everything by hand, from cosign's documents: a plain image manifest under the tag, without subject and artifact type."""
    private, public = pair(tmp_path)
    digest = registry.image("app", "1", ONE)
    payload = (f'{{"critical":{{"identity":{{"docker-reference":"{registry.host}/app"}},"image":{{"docker-manifest-digest":"{digest}"}},'
               f'"type":"cosign container image signature"}},"optional":null}}').encode()
    (tmp_path / "payload").write_bytes(payload)
    argv = ["openssl", "dgst", "-sha256", "-sign", private, str(tmp_path / "payload")]
    signature = subprocess.run(argv, capture_output=True, check=True).stdout
    layer = {"mediaType": "application/vnd.dev.cosign.simplesigning.v1+json", "size": len(payload), "digest": registry.put_blob("app", payload),
             "annotations": {"dev.cosignproject.cosign/signature": b64encode(signature).decode()}}
    config = b'{"architecture":"","created":"0001-01-01T00:00:00Z","history":[{"created":"0001-01-01T00:00:00Z"}],"os":"","rootfs":{"type":"layers"}}'
    registry.put_manifest("app", f"sha256-{digest[7:]}.sig", {
        "schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json", "layers": [layer],
        "config": {"mediaType": "application/vnd.oci.image.config.v1+json", "size": len(config), "digest": registry.put_blob("app", config)}})
    assert verified(session, parse_reference(f"{registry.host}/app:1"), Digest(digest), [PublicKey(public)]) == (payload,)


def test_signatures_of_several_keys_stand_side_by_side(session: Session, registry: FakeRegistry, tmp_path: Path) -> None:      # noqa: F811
    digest = Digest(registry.image("app", "1", ONE))
    keys = [pair(tmp_path, name) for name in ("a", "b")]
    for private, _ in (*keys, keys[0]):
        sign(session, f"{registry.host}/app:1", Key(private, no_password))
    assert len(json.loads(registry.manifests["app"][signature_tag(digest)][1])["layers"]) == 2
    assert len(verified(session, parse_reference(f"{registry.host}/app"), digest, [PublicKey(public) for _, public in keys])) == 1
    for _, public in keys:
        assert verified(session, parse_reference(f"{registry.host}/app"), digest, [PublicKey(public)])


def test_signature_without_cosigns_tag_is_found_among_the_referrers(session: Session, registry: FakeRegistry, tmp_path: Path) -> None:      # noqa: F811
    private, public = pair(tmp_path)
    digest = Digest(registry.image("app", "1", ONE))
    sign(session, f"{registry.host}/app:1", Key(private, no_password))
    del registry.manifests["app"][signature_tag(digest)]
    assert verified(session, parse_reference(f"{registry.host}/app"), digest, [PublicKey(public)])


def test_other_key_does_not_verify(session: Session, registry: FakeRegistry, tmp_path: Path) -> None:      # noqa: F811
    digest = Digest(registry.image("app", "1", ONE))
    sign(session, f"{registry.host}/app:1", Key(pair(tmp_path, "a")[0], no_password))
    assert verified(session, parse_reference(f"{registry.host}/app"), digest, [PublicKey(pair(tmp_path, "b")[1])]) == ()


def test_signature_of_another_image_does_not_count(session: Session, registry: FakeRegistry, tmp_path: Path) -> None:      # noqa: F811
    """A good signature moved to where another image's would be."""
    private, public = pair(tmp_path)
    good, evil = Digest(registry.image("app", "1", ONE)), Digest(registry.image("app", "2", tar_of(member("b", content=b"2"))))
    sign(session, f"{registry.host}/app:1", Key(private, no_password))
    registry.manifests["app"][signature_tag(evil)] = registry.manifests["app"][signature_tag(good)]
    assert verified(session, parse_reference(f"{registry.host}/app"), evil, [PublicKey(public)]) == ()


def forged(change: str, digest: str, layer: dict[str, Any], repository: FakeRegistry) -> None:
    if change == "payload":
        payload = repository.blobs["app"][layer["digest"]].replace(b"optional", b"optionaL")
        layer["digest"], layer["size"] = repository.put_blob("app", payload), len(payload)
    elif change == "signature":
        layer["annotations"][SIGNATURE] = b64encode(b64decode(layer["annotations"][SIGNATURE])[:-1] + b"\0").decode()
    elif change == "none":
        del layer["annotations"][SIGNATURE]
    elif change == "text":
        layer["annotations"][SIGNATURE] = "!!"
    elif change == "type":
        layer["mediaType"] = "text/plain"


@pytest.mark.parametrize("change", ["payload", "signature", "none", "text", "type"])
def test_forged_signature_does_not_verify(session: Session, registry: FakeRegistry, tmp_path: Path, change: str) -> None:      # noqa: F811
    private, public = pair(tmp_path)
    digest = Digest(registry.image("app", "1", ONE))
    sign(session, f"{registry.host}/app:1", Key(private, no_password))
    manifest = json.loads(registry.manifests["app"].pop(signature_tag(digest))[1])
    registry.manifests["app"] = {k: v for k, v in registry.manifests["app"].items() if k in ("1", digest)}
    forged(change, digest, manifest["layers"][0], registry)
    registry.put_manifest("app", signature_tag(digest), manifest)
    assert verified(session, parse_reference(f"{registry.host}/app"), digest, [PublicKey(public)]) == ()


def test_image_that_is_not_there_cannot_be_signed(session: Session, registry: FakeRegistry, tmp_path: Path) -> None:      # noqa: F811
    with pytest.raises(NotInRegistry):
        sign(session, f"{registry.host}/app:1", Key(pair(tmp_path)[0], no_password))


# ---------------------------------------------------------------- the policy
def test_policy_refuses_what_is_not_signed(store: Store, sessions: Sessions, registry: FakeRegistry, tmp_path: Path) -> None:      # noqa: F811
    private, public = pair(tmp_path)
    digest = registry.image("team/app", "1", ONE)
    registry.image("other/app", "1", ONE)
    strict = sessions(Config(trust=(Trust(f"{registry.host}/team", (public,)),)))
    with pytest.raises(Unsigned) as caught:
        pull(store, strict, f"{registry.host}/team/app:1")
    assert "is not trusted" in str(caught.value) and store.images.list() == ()
    pull(store, strict, f"{registry.host}/other/app:1")
    sign(strict, f"{registry.host}/team/app:1", Key(private, no_password))
    assert pull(store, strict, f"{registry.host}/team/app:1").digest == digest


def test_policy_refuses_a_moved_tag(store: Store, sessions: Sessions, registry: FakeRegistry, tmp_path: Path) -> None:      # noqa: F811
    private, public = pair(tmp_path)
    registry.image("app", "1", ONE)
    strict = sessions(Config(trust=(Trust(registry.host, (public,)),)))
    sign(strict, f"{registry.host}/app:1", Key(private, no_password))
    image = pull(store, strict, f"{registry.host}/app:1").image
    registry.image("app", "1", tar_of(member("evil", content=b"2")))
    with pytest.raises(Unsigned):
        pull(store, strict, f"{registry.host}/app:1")
    assert store.images.require(f"{registry.host}/app:1").id == image


# ---------------------------------------------------------------- keys
def test_key_with_a_password(tmp_path: Path) -> None:
    private, public = pair(tmp_path, password=b"pw")
    assert PublicKey(public).verifies(b"x", Key(private, lambda: b"pw").sign(b"x"))
    with pytest.raises(BadKey):
        Key(private, lambda: b"wrong")


@pytest.mark.parametrize("content", [b"", b"nothing", b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", b"\xff" * 3000])
def test_file_that_is_no_key_is_one_clear_error(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "k").write_bytes(content)
    with pytest.raises(BadKey):
        Key(str(tmp_path / "k"), lambda: b"")
    with pytest.raises(BadKey):
        PublicKey(str(tmp_path / "k"))
    with pytest.raises(BadKey, match="cannot be read"):
        PublicKey(str(tmp_path / "missing"))


def seal(der: bytes, password: bytes) -> bytes:
    """As cosign does."""
    salt, nonce = os.urandom(32), os.urandom(24)
    key = hashlib.scrypt(password, salt=salt, n=1024, r=8, p=1, dklen=32)
    from store.sealedkey import _hsalsa

    stream = _stream(_hsalsa(key, nonce[:16]), nonce[16:], 32 + len(der))
    text = bytes(a ^ b for a, b in zip(der, stream[32:]))
    box = _poly1305(stream[:32], text) + text
    document = {"kdf": {"name": "scrypt", "params": {"N": 1024, "r": 8, "p": 1}, "salt": b64encode(salt).decode()},
                "cipher": {"name": "nacl/secretbox", "nonce": b64encode(nonce).decode()}, "ciphertext": b64encode(box).decode()}
    body = b64encode(json.dumps(document).encode()).decode()
    return f"-----BEGIN ENCRYPTED SIGSTORE PRIVATE KEY-----\n{body}\n-----END ENCRYPTED SIGSTORE PRIVATE KEY-----\n".encode()


def test_key_that_cosign_sealed(tmp_path: Path) -> None:
    private, public = pair(tmp_path)
    key: Any = serialization.load_pem_private_key(Path(private).read_bytes(), None)
    der = key.private_bytes(serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    (tmp_path / "cosign.key").write_bytes(seal(der, b"pw"))
    assert PublicKey(public).verifies(b"x", Key(str(tmp_path / "cosign.key"), lambda: b"pw").sign(b"x"))
    with pytest.raises(BadKey, match="cannot be opened with this password"):
        Key(str(tmp_path / "cosign.key"), lambda: b"wrong")


def test_box_of_nacl() -> None:
    """The example of the NaCl paper ("Cryptography in NaCl", section 10)."""
    key = bytes.fromhex("1b27556473e985d462cd51197a9a46c76009549eac6474f206c4ee0844f68389")
    nonce = bytes.fromhex("69696ee955b62b73cd62bda875fc73d68219e0036b7a0b37")
    box = bytes.fromhex(
        "f3ffc7703f9400e52a7dfb4b3d3305d98e993b9f48681273c29650ba32fc76ce48332ea7164d96a4476fb8c531a1186ac0dfc17c98dce87b4da7f011ec48c97271d2c20f9b928fe2"
        "270d6fb863d51738b48eeee314a7cc8ab932164548e526ae90224368517acfeabd6bb3732bc0e9da99832b61ca01b6de56244a9e88d5f9b37973f622a43d14a6599b1f654cb45a74"
        "e355a5")
    opened = open_box(key, nonce, box)
    assert opened is not None and opened.hex().startswith("be075fc53c81f2d5cf141316ebeb0c7b5228c52a4c62cbd44b66849b64244ffc") and len(opened) == 131
    assert open_box(key, nonce, box[:-1] + b"\0") is None and open_box(key, nonce, b"") is None


@pytest.mark.parametrize("document", [b"", b"{", b"[]", b'{"kdf": {}}', json.dumps({
    "kdf": {"name": "scrypt", "params": {"N": 1 << 30, "r": 8, "p": 1}, "salt": ""}, "cipher": {"name": "nacl/secretbox", "nonce": ""}, "ciphertext": ""}).encode(),
    json.dumps({"kdf": {"name": "md5", "params": {"N": 2, "r": 8, "p": 1}, "salt": ""}, "cipher": {"name": "x", "nonce": ""}, "ciphertext": ""}).encode()])
def test_damaged_sealed_key_is_one_clear_error(document: bytes) -> None:
    pem = b"-----BEGIN ENCRYPTED COSIGN PRIVATE KEY-----\n" + b64encode(document) + b"\n-----END ENCRYPTED COSIGN PRIVATE KEY-----\n"
    with pytest.raises(SealedKeyError):
        unseal(pem, b"")
