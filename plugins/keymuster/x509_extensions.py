"""Values of the certificate extensions that become columns, read from their DER (RFC 5280 section 4.2, RFC 6962 section 3.3).

Each reader takes the content of extnValue and gives the value and whether it is sound; it raises Malformed when the bytes are not what its
norm says. Parts that no column shows (policy qualifiers, names of other kinds) are stepped over.
"""

from __future__ import annotations

import ipaddress
import struct

from keymuster.der import BIT_STRING, BOOLEAN, INTEGER, OCTET_STRING, OID, SEQUENCE, Malformed, children, expect, positive, whole
from keymuster.oids import ACCESS_METHODS, KEY_PURPOSES, name_of

KEY_USAGES = ("digitalSignature", "nonRepudiation", "keyEncipherment", "dataEncipherment", "keyAgreement",
              "keyCertSign", "cRLSign", "encipherOnly", "decipherOnly")  # fmt: skip
GENERAL_NAMES = {
    0xA0: "otherName", 0x81: "rfc822Name", 0x82: "dNSName", 0xA3: "x400Address", 0xA4: "directoryName", 0xA5: "ediPartyName",
    0x86: "uniformResourceIdentifier", 0x87: "iPAddress", 0x88: "registeredID",
}  # fmt: skip
_RFC822, _DNS, _URI, _IP = 0x81, 0x82, 0x86, 0x87
_UINT16, _SCT = struct.Struct(">H").unpack_from, struct.Struct(">HB32xQH").unpack_from
_LAST_INSTANT_MS = 253_402_300_799_999
"""End of the year 9999; later timestamps are noise."""

AlternativeNames = tuple[list[str], list[str], bool]
"""dNSName and iPAddress entries, types each once, whether a dNSName is a wildcard."""


def key_usage(value: bytes) -> tuple[list[str], bool]:
    """Asserted bits by name, and whether they are encoded as a named bit list should be: without trailing zeros."""
    start, end = whole(value, BIT_STRING)
    bits = value[start + 1 : end]
    if start == end or value[start] > 7 or (not bits and value[start]) or (bits and bits[-1] & (1 << value[start]) - 1):
        raise Malformed("keyUsage is no BIT STRING")
    names = [name for i, name in enumerate(KEY_USAGES) if i // 8 < len(bits) and bits[i // 8] >> (7 - i % 8) & 1]
    return names, not bits or bool(bits[-1] >> value[start] & 1)


def extended_key_usage(value: bytes) -> tuple[list[str], bool]:
    """Purposes by name, else by OID."""
    return [name_of(KEY_PURPOSES, value[start:end]) for tag, _, start, end in _items(value) if _is(tag, OID)], True


def basic_constraints(value: bytes) -> tuple[bool, bool]:
    """Whether cA is asserted."""
    members = children(value, *whole(value, SEQUENCE))
    is_ca = bool(members) and members[0][0] == BOOLEAN
    if is_ca:
        _, _, start, end = members.pop(0)
        if value[start:end] != b"\xff":
            raise Malformed("cA is spelled out as false, or is no BOOLEAN of DER")
    if members:
        tag, _, start, end = members.pop(0)
        _is(tag, INTEGER)
        if positive(value[start:end]) >> 64:
            raise Malformed("pathLenConstraint is out of range")
    if members:
        raise Malformed("basicConstraints has too many members")
    return is_ca, True


def policies(value: bytes) -> tuple[list[str], bool]:
    """OIDs of certificatePolicies, in order."""
    oids = []
    for tag, _, start, end in _items(value):
        _is(tag, SEQUENCE)
        oids.append(name_of({}, _slice(value, *expect(value, start, end, OID))))
    return oids, True


def crl_urls(value: bytes) -> tuple[list[str], bool]:
    """URIs of the fullNames of all distribution points."""
    urls = []
    for tag, _, start, end in _items(value):
        _is(tag, SEQUENCE)
        for part, _, name_start, name_end in children(value, start, end):
            if part == 0xA0:  # distributionPoint
                for choice, _, full_start, full_end in children(value, name_start, name_end):
                    urls += _uris(value, full_start, full_end) if choice == 0xA0 else []  # fullName
    return urls, True


def _uris(value: bytes, start: int, end: int) -> list[str]:
    return [_text(value[s:e]) for tag, _, s, e in children(value, start, end) if tag == _URI]


def access_descriptions(value: bytes) -> tuple[list[str], bool]:
    """URI entries of authorityInfoAccess as `method=uri`."""
    entries = []
    for tag, _, start, end in _items(value):
        _is(tag, SEQUENCE)
        oid_start, oid_end = expect(value, start, end, OID)
        places = children(value, oid_end, end)
        if len(places) != 1:
            raise Malformed("an AccessDescription has one location")
        method = name_of(ACCESS_METHODS, value[oid_start:oid_end])
        entries += [f"{method}={_text(value[s:e])}" for tag, _, s, e in places if tag == _URI]
    return entries, True


def alternative_names(value: bytes) -> tuple[AlternativeNames, bool]:
    """Read subjectAltName. An entry whose text breaks its own type is kept as well as it goes and makes the whole unsound."""
    names: list[str] = []
    types: dict[str, None] = {}
    is_wildcard, sound = False, True
    start, stop = whole(value, SEQUENCE)
    for tag, _, at, end in children(value, start, stop):
        kind = GENERAL_NAMES.get(tag)
        if kind is None:
            raise Malformed(f"no GeneralName has the tag {tag:#04x}")
        types[kind] = None
        if tag == _DNS:
            text = _text(value[at:end])
            names.append(text)
            is_wildcard = is_wildcard or text.startswith("*.")
            sound = sound and text.isascii()
        elif tag == _IP:
            text = _address(value[at:end])
            names.append(text)
            sound = sound and text[0] != "#"
        elif tag in (_RFC822, _URI):
            sound = sound and _text(value[at:end]).isascii()
    return (names, list(types), is_wildcard), sound


def _address(octets: bytes) -> str:
    """Text of an iPAddress; `#` and hex if it is neither IPv4 nor IPv6."""
    if len(octets) == 4:
        return ".".join(map(str, octets))
    return str(ipaddress.IPv6Address(octets)) if len(octets) == 16 else f"#{octets.hex()}"


def earliest_sct(value: bytes) -> tuple[int | None, bool]:
    """Earliest timestamp of a SignedCertificateTimestampList, in microseconds since 1970; None for an empty list."""
    at, end = whole(value, OCTET_STRING)
    try:
        (size,) = _UINT16(value, at)
        at += 2
        if size != end - at:
            raise Malformed("the SCT list is cut off")
        earliest = _LAST_INSTANT_MS + 1
        while at < end:
            # version, log id (32 octets), timestamp (8), extensions, algorithm (2), signature (RFC 6962 section 3.2)
            size, version, moment, extensions = _SCT(value, at)
            stop, at = at + 2 + size, at + 45 + extensions
            (size,) = _UINT16(value, at + 2)
            if at + 4 + size != stop or stop > end or version or moment > _LAST_INSTANT_MS:
                raise Malformed("an SCT is cut off, is not of version 1 or is later than the year 9999")
            earliest = min(earliest, moment)
            at = stop
    except struct.error as error:
        raise Malformed("the SCT list is cut off") from error
    return (None if earliest > _LAST_INSTANT_MS else earliest * 1000), True


def _items(value: bytes) -> list[tuple[int, int, int, int]]:
    return children(value, *whole(value, SEQUENCE))


def _is(tag: int, expected: int) -> bool:
    if tag != expected:
        raise Malformed(f"tag {tag:#04x} instead of {expected:#04x}")
    return True


def _slice(value: bytes, start: int, end: int) -> bytes:
    return value[start:end]


def _text(octets: bytes) -> str:
    """IA5String, read as UTF-8 so that what a careless issuer wrote is shown."""
    try:
        return octets.decode()
    except UnicodeDecodeError as error:
        raise Malformed("a name is no text") from error
