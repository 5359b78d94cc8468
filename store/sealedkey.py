"""Private keys as cosign keeps them: sealed with a password. In: PEM and a password; out: the key in DER (PKCS 8).

The box is NaCl's secretbox (XSalsa20 and Poly1305, by D. J. Bernstein's papers), its key made by scrypt. No library that we have has XSalsa20; a few
hundred bytes once are a matter of milliseconds in Python. Source: sigstore's encrypted key format.
"""

import hashlib
import hmac
from base64 import b64decode
from binascii import Error as Base64Error
from struct import pack, unpack

import msgspec

from store.errors import StoreError

_HEADS = ("ENCRYPTED SIGSTORE PRIVATE KEY", "ENCRYPTED COSIGN PRIVATE KEY")
_MEMORY = 256 << 20                      # bytes that a key file may have us take for scrypt
_P = (1 << 130) - 5


class SealedKeyError(StoreError):
    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason

    def __str__(self) -> str:
        return f"the private key {self.reason}"


class _Scrypt(msgspec.Struct, frozen=True):
    N: int
    r: int
    p: int


class _Kdf(msgspec.Struct, frozen=True):
    name: str
    params: _Scrypt
    salt: str


class _Cipher(msgspec.Struct, frozen=True):
    name: str
    nonce: str


class _Sealed(msgspec.Struct, frozen=True):
    kdf: _Kdf
    cipher: _Cipher
    ciphertext: str


def is_sealed(pem: bytes) -> bool:
    return any(f"-----BEGIN {head}-----".encode() in pem for head in _HEADS)


def unseal(pem: bytes, password: bytes) -> bytes:
    """Raises SealedKeyError for a file that is damaged, and for a wrong password."""
    try:
        body = b"".join(line for line in pem.splitlines() if not line.startswith(b"-----"))
        sealed = msgspec.json.decode(b64decode(body), type=_Sealed)
        salt, nonce, box = (b64decode(text) for text in (sealed.kdf.salt, sealed.cipher.nonce, sealed.ciphertext))
        if (sealed.kdf.name, sealed.cipher.name) != ("scrypt", "nacl/secretbox"):
            raise SealedKeyError(f"is sealed with {sealed.kdf.name[:40]} and {sealed.cipher.name[:40]}, which are not known here")
        params = sealed.kdf.params
        key = hashlib.scrypt(password, salt=salt, n=params.N, r=params.r, p=params.p, maxmem=_MEMORY, dklen=32)
    except (msgspec.MsgspecError, Base64Error, UnicodeDecodeError, ValueError, OverflowError) as error:
        raise SealedKeyError(f"is damaged ({error})") from error
    opened = open_box(key, nonce, box) if len(nonce) == 24 else None
    if opened is None:
        raise SealedKeyError("cannot be opened with this password")
    return opened


# ---------------------------------------------------------------- secretbox
def open_box(key: bytes, nonce: bytes, box: bytes) -> "bytes | None":
    """What was sealed; None if it was sealed otherwise, or changed. key: 32 bytes, nonce: 24."""
    if len(box) < 16:
        return None
    stream = _stream(_hsalsa(key, nonce[:16]), nonce[16:], 32 + len(box) - 16)
    if not hmac.compare_digest(_poly1305(stream[:32], box[16:]), box[:16]):
        return None
    return bytes(a ^ b for a, b in zip(box[16:], stream[32:]))


def _poly1305(key: bytes, message: bytes) -> bytes:
    r = int.from_bytes(key[:16], "little") & 0x0FFFFFFC0FFFFFFC0FFFFFFC0FFFFFFF
    total = 0
    for at in range(0, len(message), 16):
        total = (total + int.from_bytes(message[at:at + 16] + b"\1", "little")) * r % _P
    return ((total + int.from_bytes(key[16:], "little")) & ((1 << 128) - 1)).to_bytes(16, "little")


def _stream(key: bytes, nonce: bytes, length: int) -> bytes:
    out = b""
    for counter in range((length + 63) // 64):
        start = _state(key, nonce + pack("<Q", counter))
        out += pack("<16I", *((a + b) & 0xFFFFFFFF for a, b in zip(start, _rounds(start))))
    return out[:length]


def _hsalsa(key: bytes, nonce: bytes) -> bytes:
    z = _rounds(_state(key, nonce))
    return pack("<8I", z[0], z[5], z[10], z[15], z[6], z[7], z[8], z[9])


def _state(key: bytes, nonce: bytes) -> "tuple[int, ...]":
    c, k, n = unpack("<4I", b"expand 32-byte k"), unpack("<8I", key), unpack("<4I", nonce)
    return c[0], *k[:4], c[1], *n, c[2], *k[4:], c[3]


def _rounds(state: "tuple[int, ...]") -> "list[int]":
    x = list(state)
    columns = ((0, 4, 8, 12), (5, 9, 13, 1), (10, 14, 2, 6), (15, 3, 7, 11))
    rows = ((0, 1, 2, 3), (5, 6, 7, 4), (10, 11, 8, 9), (15, 12, 13, 14))
    for _ in range(10):
        for a, b, c, d in (*columns, *rows):
            x[b] ^= _turned(x[a] + x[d], 7)
            x[c] ^= _turned(x[b] + x[a], 9)
            x[d] ^= _turned(x[c] + x[b], 13)
            x[a] ^= _turned(x[d] + x[c], 18)
    return x


def _turned(value: int, count: int) -> int:
    value &= 0xFFFFFFFF
    return (value << count | value >> (32 - count)) & 0xFFFFFFFF
