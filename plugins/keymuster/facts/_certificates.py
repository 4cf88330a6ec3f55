"""Certificates of a shard as objects of cryptography, and the few things that several facts ask of them. Whatever is odd is None here."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import TypeVar

import pyarrow as pa
from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization

from keymuster.protocols import FactContext

ANY_PURPOSE = "2.5.29.37.0"
E = TypeVar("E", bound=x509.ExtensionType)
BATCH = 20_000
"""Certificates whose DER is in memory at one time."""


def load(der: bytes) -> x509.Certificate | None:
    """A certificate, None if the DER is none."""
    try:
        return x509.load_der_x509_certificate(der)
    except ValueError:
        return None


def loaded(ids: pa.Array, context: FactContext) -> Iterator[tuple[str, x509.Certificate]]:
    """Certificates by fingerprint, in batches; those whose DER was not kept or is none are left out."""
    for start in range(0, len(ids), BATCH):
        ders: Mapping[str, bytes] = context.ders(ids[start : start + BATCH].to_pylist())
        for print_, der in ders.items():
            certificate = load(der)
            if certificate is not None:
                yield print_, certificate


def fingerprint(certificate: x509.Certificate) -> str:
    """sha256 of the DER, hex."""
    return hashlib.sha256(certificate.public_bytes(serialization.Encoding.DER)).hexdigest()


@lru_cache(maxsize=65_536)
def spki_sha256(certificate: x509.Certificate) -> str | None:
    """sha256 of the SubjectPublicKeyInfo, hex; None if the key cannot be read."""
    try:
        key = certificate.public_key()
        return hashlib.sha256(key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)).hexdigest()
    except (ValueError, UnsupportedAlgorithm):
        return None


def names(certificate: x509.Certificate) -> tuple[x509.Name, x509.Name] | None:
    """Issuer and subject; None if one cannot be read, e.g. a TeletexString that is no UTF-8."""
    try:
        return certificate.issuer, certificate.subject
    except ValueError:
        return None


def extension(certificate: x509.Certificate, kind: type[E]) -> E | None:
    """An extension; None if it is not there or the extensions cannot be read."""
    try:
        return certificate.extensions.get_extension_for_class(kind).value
    except (x509.ExtensionNotFound, x509.DuplicateExtension, x509.UnsupportedGeneralNameType, ValueError):
        return None


def purposes(certificate: x509.Certificate) -> frozenset[str] | None:
    """Extended key usage as OIDs; None where there is none, where it holds anyExtendedKeyUsage, or where extensions are unreadable."""
    usage = extension(certificate, x509.ExtendedKeyUsage)
    if usage is None:
        return None
    found = frozenset(oid.dotted_string for oid in usage)
    return None if ANY_PURPOSE in found else found
