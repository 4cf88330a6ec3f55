"""From the bytes of a file to certificates and public keys. Private material ends its life here, in local variables."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_der_private_key, load_pem_private_key, pkcs7, pkcs12

from keymuster.sources import _der, _openssh

BOUNDARY = re.compile(rb"-----(BEGIN|END) ([A-Z0-9 ]{1,40})-----")
MAX_BLOCKS = 20_000
SPKI = (Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
CERTIFICATES = {b"CERTIFICATE", b"X509 CERTIFICATE", b"TRUSTED CERTIFICATE"}
LABELLED = {b"RSA PRIVATE KEY": "RSA", b"DSA PRIVATE KEY": "DSA", b"EC PRIVATE KEY": "EC"}
"""Labels that tell the algorithm even where the body is encrypted."""
OTHERS = {b"PKCS7", b"CMS", b"PRIVATE KEY", b"ENCRYPTED PRIVATE KEY", b"OPENSSH PRIVATE KEY", b"PUBLIC KEY", *LABELLED, *CERTIFICATES}


@dataclass(frozen=True, slots=True)
class Found:
    """A certificate or the public side of a key."""

    table: Literal["certificates", "keys"]
    der: bytes | None
    attributes: Mapping[str, Any] = field(default_factory=dict)
    alias: str | None = None
    """Name inside the container, where the container names its entries."""
    is_locked: bool | None = None
    """For private keys that are no entries of a container: whether a password guards them."""


@dataclass(frozen=True, slots=True)
class Unread:
    """Something that is there and could not be read."""

    code: str
    detail: str


Passwords = Sequence[str]
Finding = Found | Unread


def private_key(spki: bytes | None, algorithm: str | None = None, *, locked: bool | None = None) -> Found:
    """A private key, of which the public side is all that is kept."""
    return Found("keys", spki, {"kind": "private", **({"key_algorithm": algorithm} if algorithm else {})}, is_locked=locked)


def from_der(data: bytes, passwords: Passwords) -> Iterator[Finding]:
    """What one DER blob holds; nothing for a blob that is neither certificate nor key."""
    match _der.kind_of(data):
        case "certificate":
            yield Found("certificates", data[: _der.element(data).end])
        case "pkcs7":
            yield from _from_pkcs7(data)
        case "pkcs12":
            yield from _from_pkcs12(data, passwords)
        case "private" | "encrypted":
            yield _from_private(data, passwords)
        case "public":
            yield Found("keys", data, {"kind": "public"})


def _from_private(data: bytes, passwords: Passwords) -> Finding:
    """A PKCS#8, PKCS#1 or SEC 1 key in clear, or an encrypted one and the passwords to try."""
    try:
        key = load_der_private_key(data, None, unsafe_skip_rsa_key_validation=True)
    except TypeError:  # it is encrypted
        return private_key(_unlocked(load_der_private_key, data, passwords), locked=True)
    except (ValueError, UnsupportedAlgorithm) as error:
        return Unread("key_unreadable", f"not a private key that can be read: {type(error).__name__}")
    return private_key(key.public_key().public_bytes(*SPKI), locked=False)


def _unlocked(load: Any, data: bytes, passwords: Passwords) -> bytes | None:
    """Public key of an encrypted private one, or None: a locked key is no fault, it is how it should be."""
    for password in passwords:
        try:
            key = load(data, password.encode(), unsafe_skip_rsa_key_validation=True)
        except (ValueError, UnsupportedAlgorithm):
            continue
        return bytes(key.public_key().public_bytes(*SPKI))
    return None


def _from_pkcs7(data: bytes) -> Iterator[Finding]:
    try:
        certificates = pkcs7.load_der_pkcs7_certificates(data)
    except (ValueError, UnsupportedAlgorithm) as error:
        yield Unread("container_unreadable", f"PKCS#7: {error}"[:200])
        return
    for certificate in certificates:
        yield Found("certificates", certificate.public_bytes(Encoding.DER))


def _from_pkcs12(data: bytes, passwords: Passwords) -> Iterator[Finding]:
    """Certificates and the key of a PKCS#12 file; further keys, which the library does not give, are counted."""
    for password in (None, "", *passwords):
        try:
            store = pkcs12.load_pkcs12(data, None if password is None else password.encode())
        except ValueError:
            continue
        except UnsupportedAlgorithm as error:
            yield Unread("container_unreadable", f"PKCS#12: {error}"[:200])
            return
        if store.key is not None:
            yield private_key(store.key.public_key().public_bytes(*SPKI))
        for entry in (store.cert, *store.additional_certs):
            if entry is not None:
                yield Found("certificates", entry.certificate.public_bytes(Encoding.DER))
        for _ in range(data.count(_der.SHROUDED_KEY_BAG) - 1):
            yield Unread("container_key_hidden", "PKCS#12 holds more than one key; only the first can be read")
        return
    yield Unread("container_locked", "PKCS#12 does not open with the passwords of this station")


def from_pem(text: bytes, passwords: Passwords) -> Iterator[Finding]:
    """Every PEM block of a text, indented and JSON-escaped ones included; prose that merely mentions PEM gives nothing."""
    opened: re.Match[bytes] | None = None
    for count, boundary in enumerate(BOUNDARY.finditer(text)):
        if count > MAX_BLOCKS:
            yield Unread("file_too_long", f"more than {MAX_BLOCKS // 2} PEM blocks; the rest was not read")
            return
        if boundary[1] == b"BEGIN":
            opened = boundary
        elif opened is not None and opened[2] == boundary[2]:
            if boundary[2] in OTHERS:
                yield from _from_block(boundary[2], text[opened.end() : boundary.start()], passwords)
            opened = None


def _from_block(label: bytes, body: bytes, passwords: Passwords) -> Iterator[Finding]:
    body = body.replace(b"\\r", b"").replace(b"\\n", b"\n")
    if b"ENCRYPTED" in body[:200] and b"Proc-Type" in body[:60]:  # RFC 1421 4.6.1.1, as OpenSSL still writes it
        yield _from_legacy(label, body, passwords)
        return
    packed = b"".join(body.split())
    if len(packed) < 40:
        return  # a placeholder in a manual
    try:
        data = base64.b64decode(packed, validate=True)
    except binascii.Error as error:
        yield Unread("pem_unreadable", f"{label.decode()}: {error}")
        return
    yield from _from_labelled(label, data, passwords)


def _from_labelled(label: bytes, data: bytes, passwords: Passwords) -> Iterator[Finding]:
    if label == b"OPENSSH PRIVATE KEY":
        try:
            container = _openssh.private_container(data)
            yield private_key(container.public.spki, locked=container.is_encrypted)
        except ValueError as error:
            yield Unread("key_unreadable", f"OpenSSH private key: {error}")
    elif label in CERTIFICATES:
        yield Found("certificates", _first(data))  # OpenSSL's TRUSTED CERTIFICATE carries settings behind the certificate
    else:
        found = list(from_der(data, passwords))
        yield from found or [Unread("pem_unreadable", f"{label.decode()}: the body is something else")]


def _first(data: bytes) -> bytes:
    try:
        return data[: _der.element(data).end]
    except ValueError:
        return data  # for the normaliser to turn down and count


def _from_legacy(label: bytes, body: bytes, passwords: Passwords) -> Finding:
    """An OpenSSL key encrypted inside PEM: only its label is readable without password."""
    block = b"-----BEGIN " + label + b"-----" + body + b"-----END " + label + b"-----\n"
    spki = _unlocked(load_pem_private_key, block, passwords)
    return private_key(spki, None if spki else LABELLED.get(label), locked=True)
