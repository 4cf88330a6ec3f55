"""Public keys and algorithm identifiers, read from their DER."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, NamedTuple

from keymuster.der import BIT_STRING, INTEGER, OID, SEQUENCE, Malformed, children, dotted, expect, header, positive, require, whole
from keymuster.oids import CURVES, DSA_KEY, EC_KEY, HASHES, KEYS, PSS, RSA_KEYS, SIGNATURES, name_of

EXPONENT_LIMIT = 2**63 - 1
SHA1 = "SHA1"


class Key(NamedTuple):
    """What a SubjectPublicKeyInfo says (RFC 5280 section 4.1.2.7)."""

    algorithm: str
    bits: int | None
    curve: str | None
    exponent: int | None
    algorithm_der: str
    defects: tuple[str, ...] = ()
    """even_exponent, modulus_not_byte_aligned, explicit_curve."""
    is_sound: bool = True
    """Whether what is inside the key is DER."""


class Signature(NamedTuple):
    """What an AlgorithmIdentifier of a signature says."""

    name: str
    hash: str | None
    der: str


@lru_cache(4096)
def read_signature(raw: bytes) -> Signature:
    """Name and hash of a signature algorithm; the hash of RSASSA-PSS comes from its parameters (RFC 4055 section 3.1)."""
    start, end = whole(raw, SEQUENCE)
    oid_start, oid_end = expect(raw, start, end, OID)
    oid = raw[oid_start:oid_end]
    name, hashed = SIGNATURES.get(oid) or (dotted(oid), None)
    if oid == PSS:
        hashed = _pss_hash(raw[oid_end:end])
    return Signature(name, hashed, raw.hex())


def _pss_hash(parameters: bytes) -> str | None:
    try:
        if not parameters:
            return None
        at, end = whole(parameters, SEQUENCE)
        if at == end or parameters[at] != 0xA0:
            return SHA1  # the default
        at, end = expect(parameters, at, end, 0xA0)
        at, end = expect(parameters, at, end, SEQUENCE)
        at, end = expect(parameters, at, end, OID)
        return name_of(HASHES, parameters[at:end])
    except Malformed:
        return None


@lru_cache(4096)
def _algorithm(raw: bytes) -> tuple[bytes, bytes, str]:
    """OID, parameters and hex of an AlgorithmIdentifier."""
    start, end = whole(raw, SEQUENCE)
    oid_start, oid_end = expect(raw, start, end, OID)
    return raw[oid_start:oid_end], raw[oid_end:end], raw.hex()


def read_key(raw: bytes) -> Key:
    """Read a SubjectPublicKeyInfo. Malformed if its frame is broken; what is wrong inside the key becomes a defect."""
    start, end = whole(raw, SEQUENCE)
    _, _, split = header(raw, start, end)
    oid, parameters, algorithm_der = _algorithm(raw[start:split])
    key_start, key_end = expect(raw, split, end, BIT_STRING)
    if key_end != end or key_start == key_end:
        raise Malformed("the SubjectPublicKeyInfo does not end with one BIT STRING")
    if oid in RSA_KEYS:
        return _rsa(raw[key_start:key_end], algorithm_der)
    if oid == EC_KEY:
        return _ec(parameters, algorithm_der)
    if oid == DSA_KEY:
        return _dsa(parameters, algorithm_der)
    return Key(name_of(KEYS, oid), None, None, None, algorithm_der)


def _rsa(bits: bytes, algorithm_der: str) -> Key:
    """RSAPublicKey (RFC 8017 A.1.1) behind the octet of unused bits."""
    try:
        require(not bits[0], "an RSA key is whole octets")
        start, end = expect(bits, 1, len(bits), SEQUENCE)
        n_start, n_end = expect(bits, start, end, INTEGER)
        e_start, e_end = expect(bits, n_end, end, INTEGER)
        require(e_end == end == len(bits), "bytes follow the RSA key")
        size = positive(bits[n_start:n_end]).bit_length()
        exponent = positive(bits[e_start:e_end])
    except Malformed:
        return Key("RSA", None, None, None, algorithm_der, is_sound=False)
    defects = (("even_exponent",) if exponent % 2 == 0 else ()) + (("modulus_not_byte_aligned",) if size % 8 else ())
    return Key("RSA", size, None, min(exponent, EXPONENT_LIMIT), algorithm_der, defects)


@lru_cache(1024)
def _ec(parameters: bytes, algorithm_der: str) -> Key:
    """ECParameters (RFC 5480 section 2.1.1): a named curve, or parameters spelled out."""
    try:
        tag, start, end = header(parameters, 0, len(parameters))
        require(end == len(parameters), "bytes follow the curve")
        if tag == OID:
            oid = parameters[start:end]
            curve, bits = CURVES.get(oid) or (dotted(oid), None)
            return Key("EC", bits, curve, None, algorithm_der)
        if tag == SEQUENCE:
            return Key("EC", _field_bits(parameters, start, end), None, None, algorithm_der, ("explicit_curve",))
    except Malformed:
        pass
    return Key("EC", None, None, None, algorithm_der, is_sound=False)


def _field_bits(parameters: bytes, start: int, end: int) -> int | None:
    """Bits of the prime of SpecifiedECDomain (X9.62); None for other fields."""
    try:
        _, version_end = expect(parameters, start, end, INTEGER)
        start, end = expect(parameters, version_end, end, SEQUENCE)
        _, oid_end = expect(parameters, start, end, OID)
        start, end = expect(parameters, oid_end, end, INTEGER)
        return positive(parameters[start:end]).bit_length()
    except Malformed:
        return None


@lru_cache(1024)
def _dsa(parameters: bytes, algorithm_der: str) -> Key:
    """Dss-Parms (RFC 3279 section 2.3.2); may be inherited and thus absent."""
    try:
        if not parameters:
            return Key("DSA", None, None, None, algorithm_der)
        members = children(parameters, *whole(parameters, SEQUENCE))
        require([m[0] for m in members] == [INTEGER] * 3, "DSA parameters are three INTEGERs")
        bits = positive(parameters[members[0][2] : members[0][3]]).bit_length()
        return Key("DSA", bits, None, None, algorithm_der)
    except Malformed:
        return Key("DSA", None, None, None, algorithm_der, is_sound=False)


def parse_spki(der: bytes) -> Mapping[str, Any]:
    """Columns key_algorithm, key_bits, key_curve and spki_sha256 of a SubjectPublicKeyInfo. ValueError if it is none or is broken."""
    key = read_key(der)
    if not key.is_sound:
        raise Malformed(f"the {key.algorithm} key inside the SubjectPublicKeyInfo is not DER")
    digest = hashlib.sha256(der).hexdigest()
    return {"key_algorithm": key.algorithm, "key_bits": key.bits, "key_curve": key.curve, "spki_sha256": digest}
