"""Each encoding defect of the vocabulary, planted alone; keys of every kind; extensions at their limits."""

from __future__ import annotations

import subprocess
from datetime import UTC, datetime
from typing import Any

import pytest
from bench.corpus import extension, instant, integer, name, oid, tlv
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, x25519

from keymuster.normalise import authority_asset_id, parse_certificate, parse_spki
from tests.certificates import Builder, authority, ec_key, rsa_spki, spki

ECDSA_SHA256, ECDSA_SHA1 = bytes.fromhex("300a06082a8648ce3d040302"), bytes.fromhex("300906072a8648ce3d0401")
SOME_KEY = spki(ec_key("some").public_key())
ODD = (1 << 2047) + 12345
START, END = datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 6, 1, tzinfo=UTC)


def made(
    *extensions: bytes, key: bytes = SOME_KEY, inner: bytes = ECDSA_SHA256, outer: bytes = ECDSA_SHA256, version: bytes = b"\2\1\2",
    serial: bytes = b"\2\1\1", subject: bytes | None = None, generalized: bool = False, ids: bytes = b"", end: datetime = END,
) -> bytes:  # fmt: skip
    """A certificate of which every part can be bent; its signature is empty."""
    validity = tlv(0x30, instant(START, generalized=generalized), instant(end, generalized=generalized))
    someone = name(("2.5.4.3", "x")) if subject is None else subject
    tail = tlv(0xA3, tlv(0x30, *extensions)) if extensions else b""
    head = tlv(0xA0, version) if version else b""
    issuer = name(("2.5.4.3", "Issuer"))
    tbs = tlv(0x30, head, serial, inner, issuer, validity, someone, key, ids, tail)
    return tlv(0x30, tbs, outer, tlv(3, b"\0\0"))


KEY_USAGE, SAN = "2.5.29.15", "2.5.29.17"
USAGE = extension(KEY_USAGE, bytes.fromhex("03020780"), critical=True)
DEFECTS: dict[str, tuple[bytes, list[str]]] = {
    "sound": (made(USAGE), []),
    "version 1": (made(version=b""), ["not_v3"]),
    "unique id": (made(USAGE, ids=tlv(0x81, b"\0\1")), ["unique_id_present"]),
    "an extension twice": (made(USAGE, USAGE), ["duplicate_extension"]),
    "unknown critical extension": (made(extension("1.2.3.4", b"\5\0", critical=True)), ["unknown_critical_extension"]),
    "unknown extension": (made(extension("1.2.3.4", b"\5\0")), []),
    "GeneralizedTime before 2050": (made(USAGE, generalized=True), ["bad_time_encoding"]),
    "inner and outer algorithm differ": (made(USAGE, inner=ECDSA_SHA1), ["signature_algorithm_mismatch"]),
    "even exponent": (made(key=rsa_spki(ODD, 65537).replace(b"\2\3\1\0\1", b"\2\3\1\0\2")), ["even_exponent"]),
    "modulus of 2049 bits": (made(key=rsa_spki((1 << 2048) + 1)), ["modulus_not_byte_aligned"]),
    "key usage with trailing zeros": (made(extension(KEY_USAGE, bytes.fromhex("03020080"))), ["bad_der"]),
    "key usage is an INTEGER": (made(extension(KEY_USAGE, b"\2\1\1")), ["bad_der"]),
    "SAN with bytes after it": (made(extension(SAN, tlv(0x30, tlv(0x82, b"a")) + b"\0")), ["bad_der"]),
    "SAN with an address of 5 octets": (made(extension(SAN, tlv(0x30, tlv(0x87, b"12345")))), ["bad_der"]),
    "SAN with a letter beyond ASCII": (made(extension(SAN, tlv(0x30, tlv(0x82, "ü.example".encode())))), ["bad_der"]),
    "cA spelled out as false": (made(extension("2.5.29.19", bytes.fromhex("3003010100"))), ["bad_der"]),
    "subject that is no text": (made(USAGE, subject=tlv(0x30, tlv(0x31, tlv(0x30, oid("2.5.4.3"), b"\2\1\1")))), ["bad_der"]),
    "RSA key with a negative modulus": (made(key=rsa_spki(ODD).replace(b"\2\x82\1\1\0", b"\2\x82\1\1\xff")), ["bad_der"]),
}  # fmt: skip


@pytest.mark.parametrize(("der", "defects"), DEFECTS.values(), ids=DEFECTS)
def test_defects(der: bytes, defects: list[str]) -> None:
    assert parse_certificate(der)["encoding_defects"] == defects


def test_explicit_curve_is_a_defect_and_its_field_is_known() -> None:
    prime = 2**256 - 2**224 + 2**192 + 2**96 - 1
    field = tlv(0x30, oid("1.2.840.10045.1.1"), integer(prime))
    parameters = tlv(
        0x30, integer(1), field, tlv(0x30, tlv(4, b"a" * 32), tlv(4, b"b" * 32)), tlv(4, b"\4" + b"g" * 64), integer(prime - 2)
    )
    row = parse_certificate(made(key=tlv(0x30, tlv(0x30, oid("1.2.840.10045.2.1"), parameters), tlv(3, b"\0\4" + b"p" * 64))))
    assert (row["key_algorithm"], row["key_bits"], row["key_curve"]) == ("EC", 256, None)
    assert row["encoding_defects"] == ["explicit_curve"]


def test_a_broken_extension_is_unknown_or_empty_but_never_absent() -> None:
    row = parse_certificate(
        made(extension(KEY_USAGE, b"\5\0"), extension("2.5.29.37", b"\5\0"), extension(SAN, b"\5\0"), extension("2.5.29.19", b"\5\0"))
    )
    assert (row["key_usage"], row["extended_key_usage"]) == ([], []), "null would read as 'no such extension'"
    assert (row["san_names"], row["san_types"], row["is_wildcard"], row["is_ca"]) == (None, None, None, None)
    assert row["extensions"] == ["keyUsage", "extKeyUsage", "subjectAltName", "basicConstraints"]


def test_of_an_extension_given_twice_the_first_counts() -> None:
    names = [extension(SAN, tlv(0x30, tlv(0x82, n))) for n in (b"first.example", b"second.example")]
    assert parse_certificate(made(*names))["san_names"] == ["first.example"]


SERIALS = {b"\2\1\0": "0", b"\2\2\0\xff": "ff", b"\2\1\xff": "-1", b"\2\2\x80\0": "-8000", b"\2\3\1\2\3": "10203"}


@pytest.mark.parametrize(("serial", "text"), SERIALS.items())
def test_serials(serial: bytes, text: str) -> None:
    assert parse_certificate(made(serial=serial))["serial_number"] == text


def test_validity_beyond_2050_and_its_last_year() -> None:
    row = parse_certificate(made(end=datetime(2049, 12, 31, 23, 59, 59, tzinfo=UTC)))
    assert row["not_after"] == datetime(2049, 12, 31, 23, 59, 59, tzinfo=UTC)
    forever = parse_certificate(made(generalized=True, end=datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)))
    assert forever["not_after"] == datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)


def test_year_0_is_refused_and_not_a_crash() -> None:
    with pytest.raises(ValueError):
        parse_certificate(made(generalized=True).replace(b"20260101", b"00000101"))


KEYS: dict[str, tuple[bytes, tuple[Any, ...]]] = {
    "RSA": (rsa_spki(ODD), ("RSA", 2048, None)),
    "RSA labelled PSS": (tlv(0x30, tlv(0x30, oid("1.2.840.113549.1.1.10")), rsa_spki(ODD)[19:]), ("RSA", 2048, None)),
    "P-256": (SOME_KEY, ("EC", 256, "P-256")),
    "P-521": (spki(ec_key("a", ec.SECP521R1()).public_key()), ("EC", 521, "P-521")),
    "brainpool": (spki(ec_key("a", ec.BrainpoolP384R1()).public_key()), ("EC", 384, "brainpoolP384r1")),
    "Ed25519": (spki(ed25519.Ed25519PrivateKey.generate().public_key()), ("Ed25519", None, None)),
    "Ed448": (spki(ed448.Ed448PrivateKey.generate().public_key()), ("Ed448", None, None)),
    "X25519": (spki(x25519.X25519PrivateKey.generate().public_key()), ("X25519", None, None)),
    "DSA": (tlv(0x30, tlv(0x30, oid("1.2.840.10040.4.1"), tlv(0x30, integer(1 << 1023), integer(1 << 159), integer(2))),
                tlv(3, b"\0", integer(5))), ("DSA", 1024, None)),
    "ML-DSA-65": (tlv(0x30, tlv(0x30, oid("2.16.840.1.101.3.4.3.18")), tlv(3, b"\0" + b"k" * 1952)), ("ML-DSA-65", None, None)),
    "ML-KEM-768": (tlv(0x30, tlv(0x30, oid("2.16.840.1.101.3.4.4.2")), tlv(3, b"\0" + b"k" * 1184)), ("ML-KEM-768", None, None)),
    "SLH-DSA": (tlv(0x30, tlv(0x30, oid("2.16.840.1.101.3.4.3.31")), tlv(3, b"\0" + b"k" * 64)), ("SLH-DSA-SHAKE-256f", None, None)),
    "unheard of": (tlv(0x30, tlv(0x30, oid("1.2.3.4.5")), tlv(3, b"\0k")), ("1.2.3.4.5", None, None)),
}  # fmt: skip


@pytest.mark.parametrize(("key", "expected"), KEYS.values(), ids=KEYS)
def test_keys(key: bytes, expected: tuple[Any, ...]) -> None:
    row = parse_spki(key)
    assert (row["key_algorithm"], row["key_bits"], row["key_curve"]) == expected
    certificate = parse_certificate(made(key=key))
    assert {c: certificate[c] for c in row} == row


def test_exponent_is_clipped() -> None:
    assert parse_certificate(made(key=rsa_spki(ODD, (1 << 200) + 1)))["rsa_exponent"] == 2**63 - 1


NOT_KEYS = {
    "nothing": b"", "noise": b"noise", "a private key": bytes.fromhex("302e020100300506032b657004220420") + b"s" * 32,
    "a certificate": made(USAGE), "cut": SOME_KEY[:-1], "followed by a byte": SOME_KEY + b"\0",
}  # fmt: skip


@pytest.mark.parametrize("der", NOT_KEYS.values(), ids=NOT_KEYS)
def test_what_is_no_public_key(der: bytes) -> None:
    with pytest.raises(ValueError):
        parse_spki(der)


NOT_CERTIFICATES = {"nothing": b"", "noise": b"\xff" * 40, "a key": SOME_KEY, "cut": made(USAGE)[:-1], "huge": b"0" * (1 << 20) + b"1",
                    "version 4": made(USAGE, version=b"\2\1\3"), "deep": b"\x30\x80" * 5000}  # fmt: skip


@pytest.mark.parametrize("der", NOT_CERTIFICATES.values(), ids=NOT_CERTIFICATES)
def test_what_is_no_certificate(der: bytes) -> None:
    with pytest.raises(ValueError):
        parse_certificate(der)


@pytest.mark.parametrize("digest", ["sha1", "md5"])
def test_a_broken_hash_does_not_hide_who_signed(digest: str) -> None:
    command = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "rsa:1024",
        "-nodes",
        f"-{digest}",
        "-subj",
        "/CN=old",
        "-keyout",
        "/dev/null",
        "-outform",
        "DER",
    ]
    der = subprocess.run(command, capture_output=True, check=True).stdout
    assert parse_certificate(der)["signature_hash"] == digest.upper()
    assert parse_certificate(der)["is_self_signed"] is True
    forged = bytearray(der)
    forged[-1] ^= 1
    assert parse_certificate(bytes(forged))["is_self_signed"] is False


def test_self_signed_needs_a_signature_that_verifies() -> None:
    root = authority("Root")
    assert parse_certificate(root.der)["is_self_signed"] is True
    forged = bytearray(root.der)
    forged[-1] ^= 1
    assert parse_certificate(bytes(forged))["is_self_signed"] is False
    assert parse_certificate(Builder("leaf").issue(root).der)["is_self_signed"] is False


def test_an_authority_is_its_name_and_key_not_its_certificate() -> None:
    root = authority("Root")
    assert authority_asset_id(root.der) == authority_asset_id(authority("Root", path_length=3).der)
    assert authority_asset_id(root.der) != authority_asset_id(authority("Other").der)


HOSTILE = '<script>alert(1)</script>,=cmd|" /C calc"!A0+;\\\0\u202e'


def test_hostile_text_arrives_escaped_as_rfc_4514_says() -> None:
    row = parse_certificate(made(subject=name(("2.5.4.3", HOSTILE))))
    assert row["subject"] == 'CN=\\<script\\>alert(1)\\</script\\>\\,=cmd|\\" /C calc\\"!A0\\+\\;\\\\\\00\u202e'
