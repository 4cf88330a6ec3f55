"""Just enough DER (X.690) to tell what a blob is without parsing it, and to write a SubjectPublicKeyInfo."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

SEQUENCE, INTEGER, BITS, OCTETS, OID, NULL, UTC_TIME, GENERAL_TIME = 0x30, 0x02, 0x03, 0x04, 0x06, 0x05, 0x17, 0x18
SIGNED_DATA = bytes.fromhex("2a864886f70d010702")
SHROUDED_KEY_BAG = bytes.fromhex("060b2a864886f70d010c0a0102")
RSA_ENCRYPTION = bytes.fromhex("2a864886f70d010101")
DSA = bytes.fromhex("2a8648ce380401")
EC_PUBLIC_KEY = bytes.fromhex("2a8648ce3d0201")
ED25519 = bytes.fromhex("2b6570")

Kind = Literal["certificate", "pkcs7", "pkcs12", "private", "encrypted", "public"]


@dataclass(frozen=True, slots=True)
class Element:
    """One DER element: its tag, where it starts, where its content starts, and where it ends."""

    tag: int
    start: int
    content: int
    end: int


def element(data: bytes, at: int = 0, limit: int | None = None) -> Element:
    """The element at an offset; ValueError if it is cut or of indefinite length."""
    limit = len(data) if limit is None else limit
    if at + 2 > limit:
        raise ValueError("DER is cut")
    length, content = data[at + 1], at + 2
    if length & 0x80:
        octets = length & 0x7F
        if not 1 <= octets <= 4 or content + octets > limit:
            raise ValueError("DER length is not definite or is cut")
        length, content = int.from_bytes(data[content : content + octets], "big"), content + octets
    if content + length > limit:
        raise ValueError("DER is cut")
    return Element(data[at], at, content, content + length)


def children(data: bytes, parent: Element, most: int = 8) -> list[Element]:
    """The first elements inside a constructed one; ValueError as for `element`."""
    found: list[Element] = []
    at = parent.content
    while at < parent.end and len(found) < most:
        found.append(element(data, at, parent.end))
        at = found[-1].end
    return found


def kind_of(data: bytes) -> Kind | None:
    """What a DER blob is, by its outline only; None for anything that holds neither certificate nor key."""
    try:
        return _outline(data)
    except ValueError:
        return None


def _outline(data: bytes) -> Kind | None:
    inner = children(data, element(data))
    tags = [e.tag for e in inner]
    if tags[:1] == [OID]:
        return "pkcs7" if data[inner[0].content : inner[0].end] == SIGNED_DATA else None
    if tags[:1] == [INTEGER]:
        return _versioned(data[inner[0].content : inner[0].end], tags)
    if len(tags) == 2 and tags[0] == SEQUENCE and children(data, inner[0], 1)[0:1]:
        first = children(data, inner[0], 1)[0].tag
        return {(OID, OCTETS): "encrypted", (OID, BITS): "public"}.get((first, tags[1]))  # type: ignore[return-value]
    if tags == [SEQUENCE, SEQUENCE, BITS]:
        return _signed(data, inner[0])
    return None


def _versioned(version: bytes, tags: list[int]) -> Kind | None:
    """Structures that begin with a number: PKCS#12, PKCS#8, PKCS#1, SEC 1 and the old DSA form."""
    if version == b"\x03" and tags[1:2] == [SEQUENCE]:
        return "pkcs12"
    if version in {b"\x00", b"\x01"} and (tags[1:3] == [SEQUENCE, OCTETS] or tags[1:2] == [OCTETS]):
        return "private"
    return "private" if version in {b"\x00", b"\x01"} and len(tags) >= 6 and set(tags) == {INTEGER} else None


def _signed(data: bytes, body: Element) -> Kind | None:
    """Certificate, or a list or request, which have the same outer form (RFC 5280 4.1, 5.1; RFC 2986)."""
    tags = children(data, body)
    if tags and tags[0].tag == 0xA0:
        return "certificate"
    if [e.tag for e in tags[:4]] != [INTEGER, SEQUENCE, SEQUENCE, SEQUENCE]:
        return None
    validity = children(data, tags[3], 1)
    return "certificate" if validity and validity[0].tag in {UTC_TIME, GENERAL_TIME} else None


def tlv(tag: int, *parts: bytes) -> bytes:
    """Write one element."""
    body = b"".join(parts)
    if len(body) < 0x80:
        return bytes((tag, len(body))) + body
    length = len(body).to_bytes((len(body).bit_length() + 7) // 8, "big")
    return bytes((tag, 0x80 | len(length))) + length + body


def integer(number: int) -> bytes:
    """Write a non-negative INTEGER."""
    return tlv(INTEGER, number.to_bytes(number.bit_length() // 8 + 1, "big"))


def public_key_info(algorithm: bytes, parameters: bytes, key: bytes) -> bytes:
    """SubjectPublicKeyInfo (RFC 5280 4.1.2.7) of an algorithm OID's content, encoded parameters and key bits."""
    return tlv(SEQUENCE, tlv(SEQUENCE, tlv(OID, algorithm), parameters), tlv(BITS, b"\0", key))


def rsa_public(modulus: int, exponent: int) -> bytes:
    """SubjectPublicKeyInfo of an RSA key (RFC 8017 A.1.1), of whatever size."""
    return public_key_info(RSA_ENCRYPTION, tlv(NULL), tlv(SEQUENCE, integer(modulus), integer(exponent)))


def dsa_public(p: int, q: int, g: int, y: int) -> bytes:
    """SubjectPublicKeyInfo of a DSA key (RFC 3279 2.3.2)."""
    return public_key_info(DSA, tlv(SEQUENCE, integer(p), integer(q), integer(g)), integer(y))
