"""Verifies a certificate's signature, those over SHA-1 and MD5 included.

The cryptography package refuses these hashes. An inventory must know all the same who signed an old certificate: that a broken hash was
used is a finding of its own, and "not known" would hide it. Nothing is trusted on the strength of this answer.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import padding, rsa

_DIGEST_INFO: Mapping[str, tuple[str, bytes]] = {
    "1.2.840.113549.1.1.4": ("md5", bytes.fromhex("3020300c06082a864886f70d020505000410")),
    "1.2.840.113549.1.1.5": ("sha1", bytes.fromhex("3021300906052b0e03021a05000414")),
}
"""PKCS #1 v1.5 by the OID of the signature: hash, and the DER in front of it (RFC 8017 section 9.2, note 1)."""
_LARGEST_BITS = 16_384
"""A longer modulus is no key but an attempt to keep us busy."""


def is_signed_by(certificate: x509.Certificate, issuer: x509.Certificate) -> bool | None:
    """Whether the issuer's name and key made the certificate; None where the algorithm or the key cannot be used here."""
    try:
        certificate.verify_directly_issued_by(issuer)
    except InvalidSignature:
        return False
    except (ValueError, TypeError, UnsupportedAlgorithm):
        return _over_weak_hash(certificate, issuer)
    return True


def _over_weak_hash(certificate: x509.Certificate, issuer: x509.Certificate) -> bool | None:
    try:
        key: Any = issuer.public_key()
        digest_info = _DIGEST_INFO.get(certificate.signature_algorithm_oid.dotted_string)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        return None
    if digest_info is None or not isinstance(key, rsa.RSAPublicKey) or key.key_size > _LARGEST_BITS or certificate.issuer != issuer.subject:
        return None
    name, prefix = digest_info
    try:
        found = key.recover_data_from_signature(certificate.signature, padding.PKCS1v15(), None)
    except InvalidSignature:
        return False
    except (ValueError, UnsupportedAlgorithm):
        return None
    return found == prefix + hashlib.new(name, certificate.tbs_certificate_bytes, usedforsecurity=False).digest()
