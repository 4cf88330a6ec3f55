"""OpenSSH's formats (RFC 4253 6.6, PROTOCOL.key, PROTOCOL.certkeys), read by hand, so that types which libraries dropped are seen too."""

from __future__ import annotations

import base64
import binascii
import hashlib
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from keymuster.sources import _der

CERTIFICATE_SUFFIX = "-cert-v01@openssh.com"
FOREVER = 2**64 - 1
MAGIC = b"openssh-key-v1\0"
MAGIC_1 = b"SSH PRIVATE KEY FILE FORMAT 1.1\n\0"
CURVES: Mapping[bytes, bytes] = MappingProxyType(
    {
        b"nistp256": bytes.fromhex("06082a8648ce3d030107"),
        b"nistp384": bytes.fromhex("06052b81040022"),
        b"nistp521": bytes.fromhex("06052b81040023"),
    }
)
"""Curve names and their OIDs, encoded."""


@dataclass(frozen=True, slots=True)
class PublicKey:
    """A public key as SSH names it."""

    type: str
    spki: bytes
    fingerprint: str
    """As `ssh-keygen -l` prints it: `SHA256:` and unpadded Base64."""
    algorithm: str | None = None
    """The vocabulary's word where the SubjectPublicKeyInfo would say another one: ssh-dss, rsa1."""


@dataclass(frozen=True, slots=True)
class Certificate:
    """An SSH certificate."""

    public: PublicKey
    type: str
    """user or host."""
    principals: tuple[str, ...]
    valid_after: int
    valid_before: int
    """Seconds since 1970; FOREVER for no end."""
    critical_options: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class PrivateKeyFile:
    """What a private key file shows without being opened."""

    public: PublicKey
    is_encrypted: bool


class Wire:
    """Reads the fields of SSH's binary encoding (RFC 4251 5) one after the other; ValueError where it is cut."""

    def __init__(self, data: bytes) -> None:
        self.data, self.at = data, 0

    def take(self, count: int) -> bytes:
        """The next octets."""
        if count > len(self.data) - self.at:
            raise ValueError("cut short")
        self.at += count
        return self.data[self.at - count : self.at]

    def text(self) -> bytes:
        """A string: length and octets."""
        return self.take(self.number())

    def number(self) -> int:
        """A uint32."""
        return int.from_bytes(self.take(4), "big")

    def long(self) -> int:
        """A uint64."""
        return int.from_bytes(self.take(8), "big")

    def integer(self) -> int:
        """An mpint; a negative one is turned down."""
        raw = self.text()
        if raw[:1] >= b"\x80":
            raise ValueError("negative number in a key")
        return int.from_bytes(raw, "big")

    def short_integer(self) -> int:
        """A number of protocol 1: its length in bits as uint16, then octets."""
        return int.from_bytes(self.take((struct.unpack(">H", self.take(2))[0] + 7) // 8), "big")


def _rsa(wire: Wire) -> bytes:
    exponent, modulus = wire.integer(), wire.integer()
    return _der.rsa_public(modulus, exponent)


def _dsa(wire: Wire) -> bytes:
    return _der.dsa_public(wire.integer(), wire.integer(), wire.integer(), wire.integer())


def _ecdsa(wire: Wire) -> bytes:
    curve = wire.text()
    if curve not in CURVES:
        raise ValueError("unknown curve")
    return _der.public_key_info(_der.EC_PUBLIC_KEY, CURVES[curve], wire.text())


def _ed25519(wire: Wire) -> bytes:
    point = wire.text()
    if len(point) != 32:
        raise ValueError("Ed25519 key of the wrong length")
    return _der.public_key_info(_der.ED25519, b"", point)


READERS: Mapping[str, Callable[[Wire], bytes]] = MappingProxyType(
    {
        "ssh-rsa": _rsa,
        "ssh-dss": _dsa,
        "ssh-ed25519": _ed25519,
        "sk-ssh-ed25519": _ed25519,
        **{f"{prefix}ecdsa-sha2-{curve.decode()}": _ecdsa for curve in CURVES for prefix in ("", "sk-")},
    }
)


def plain_type(name: str) -> str:
    """Key type without the marks of certificates and vendors: `sk-ssh-ed25519@openssh.com` gives `sk-ssh-ed25519`."""
    return name.removesuffix(CERTIFICATE_SUFFIX).removesuffix("@openssh.com")


def is_type(name: str) -> bool:
    """Whether a word is a key type that is read here."""
    return plain_type(name) in READERS


def fingerprint_of(blob: bytes) -> str:
    """Fingerprint of an encoded public key."""
    return "SHA256:" + base64.b64encode(hashlib.sha256(blob).digest()).decode().rstrip("=")


def public_key(blob: bytes) -> PublicKey:
    """Read an encoded public key; ValueError if it is cut, malformed or of an unknown type."""
    wire = Wire(blob)
    name = wire.text().decode("ascii", "replace")
    if name not in {"ssh-rsa", "ssh-dss"} and not is_type(name):
        raise ValueError(f"key type {name[:60]!r} is not known")
    return PublicKey(name, READERS[plain_type(name)](wire), fingerprint_of(blob), "ssh-dss" if name == "ssh-dss" else None)


def certificate(blob: bytes) -> Certificate:
    """Read an encoded certificate (PROTOCOL.certkeys); ValueError if it is cut or malformed."""
    wire = Wire(blob)
    name = wire.text().decode("ascii", "replace")
    if not name.endswith(CERTIFICATE_SUFFIX) or not is_type(name):
        raise ValueError(f"certificate type {name[:60]!r} is not known")
    wire.text()  # nonce
    begin = wire.at
    spki = READERS[plain_type(name)](wire)
    if name.startswith("sk-"):
        wire.text()  # application; part of the key as its fingerprint sees it
    plain = name.removesuffix(CERTIFICATE_SUFFIX) + ("@openssh.com" if name.startswith("sk-") else "")
    key = struct.pack(">I", len(plain)) + plain.encode() + blob[begin : wire.at]
    wire.long()  # serial number
    kind = {1: "user", 2: "host"}.get(wire.number(), "unknown")
    wire.text()  # key id
    principals = _texts(wire.text())
    after, before = wire.long(), wire.long()
    options = _texts(wire.text())[::2]
    public = PublicKey(plain, spki, fingerprint_of(key), "ssh-dss" if plain == "ssh-dss" else None)
    return Certificate(public, kind, principals, after, before, options)


def _texts(packed: bytes) -> tuple[str, ...]:
    wire, found = Wire(packed), []
    while wire.at < len(packed):
        found.append(wire.text().decode("utf-8", "replace"))
    return tuple(found)


def private_container(data: bytes) -> PrivateKeyFile:
    """Public half of an `openssh-key-v1` file; the private half is not looked at. ValueError if malformed."""
    if not data.startswith(MAGIC):
        raise ValueError("no openssh-key-v1 magic")
    wire = Wire(data)
    wire.take(len(MAGIC))
    cipher = wire.text()
    wire.text(), wire.text()  # key derivation and its options
    if wire.number() != 1:
        raise ValueError("holds other than one key")
    return PrivateKeyFile(public_key(wire.text()), cipher != b"none")


def private_container_1(data: bytes) -> PrivateKeyFile:
    """Public half of a private key of SSH protocol 1; ValueError if malformed."""
    if not data.startswith(MAGIC_1):
        raise ValueError("no protocol 1 magic")
    wire = Wire(data)
    wire.take(len(MAGIC_1))
    cipher = wire.take(1)
    wire.take(4 + 4)  # reserved, bits
    modulus, exponent = wire.short_integer(), wire.short_integer()
    return PrivateKeyFile(rsa1(modulus, exponent), cipher != b"\0")


def rsa1(modulus: int, exponent: int) -> PublicKey:
    """A key of SSH protocol 1, which has no encoding of its own; its fingerprint is taken of the SubjectPublicKeyInfo."""
    spki = _der.rsa_public(modulus, exponent)
    return PublicKey("rsa1", spki, fingerprint_of(spki), "rsa1")


def decode(text: str) -> bytes:
    """Base64 of a key line; ValueError if it is none."""
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise ValueError(f"not Base64: {error}") from None
