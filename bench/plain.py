"""The plain way: a loop over cryptography that reads the fields which keymuster's certificates table has, and judges nothing."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

USAGES = ("digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement", "key_cert_sign", "crl_sign")


def read(der: bytes) -> dict[str, Any]:
    """Fields of one certificate, each asked of the library in the way its documentation shows."""
    certificate = x509.load_der_x509_certificate(der)
    key = certificate.public_key()
    spki = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    hashed = certificate.signature_hash_algorithm
    return {
        "asset_id": hashlib.sha256(der).hexdigest(),
        "spki_sha256": hashlib.sha256(spki).hexdigest(),
        "key_algorithm": "RSA" if isinstance(key, rsa.RSAPublicKey) else "EC" if isinstance(key, ec.EllipticCurvePublicKey) else "other",
        "key_bits": getattr(key, "key_size", None),
        "key_curve": key.curve.name if isinstance(key, ec.EllipticCurvePublicKey) else None,
        "rsa_exponent": key.public_numbers().e if isinstance(key, rsa.RSAPublicKey) else None,
        "serial_number": f"{certificate.serial_number:x}",
        "subject": certificate.subject.rfc4514_string(),
        "subject_attribute_types": list(dict.fromkeys(a.oid.dotted_string for a in certificate.subject)),
        "issuer": certificate.issuer.rfc4514_string(),
        "not_before": certificate.not_valid_before_utc,
        "not_after": certificate.not_valid_after_utc,
        "signature_algorithm": certificate.signature_algorithm_oid.dotted_string,
        "signature_hash": hashed.name if hashed else None,
        "is_self_signed": certificate.issuer == certificate.subject and _verifies(certificate),
        **_extensions(certificate),
    }


def _extensions(certificate: x509.Certificate) -> dict[str, Any]:
    try:
        everything = list(certificate.extensions)
    except (ValueError, x509.DuplicateExtension):
        return {"encoding_defects": ["extensions"]}
    return {
        "extensions": [e.oid.dotted_string for e in everything],
        "critical_extensions": [e.oid.dotted_string for e in everything if e.critical],
        "is_precertificate": _value(certificate, x509.PrecertPoison, lambda _: True, absent=False),
        "san_names": _value(certificate, x509.SubjectAlternativeName, _names, absent=[]),
        "san_types": _value(certificate, x509.SubjectAlternativeName, lambda v: sorted({type(n).__name__ for n in v}), absent=[]),
        "is_wildcard": _value(certificate, x509.SubjectAlternativeName, lambda v: any(n.startswith("*.") for n in _names(v)), absent=False),
        "key_usage": _value(certificate, x509.KeyUsage, lambda v: [u for u in USAGES if getattr(v, u)]),
        "extended_key_usage": _value(certificate, x509.ExtendedKeyUsage, lambda v: [o.dotted_string for o in v]),
        "is_ca": _value(certificate, x509.BasicConstraints, lambda v: v.ca, absent=False),
        "policy_oids": _value(certificate, x509.CertificatePolicies, lambda v: [p.policy_identifier.dotted_string for p in v], absent=[]),
        "crl_urls": _value(certificate, x509.CRLDistributionPoints, lambda v: [n.value for p in v for n in p.full_name or ()], absent=[]),
        "aia_entries": _value(certificate, x509.AuthorityInformationAccess, lambda v: [d.access_location.value for d in v], absent=[]),
        "earliest_sct_at": _value(certificate, x509.PrecertificateSignedCertificateTimestamps, lambda v: min(s.timestamp for s in v)),
    }


def _value(certificate: x509.Certificate, kind: Any, read_it: Callable[[Any], Any], absent: Any = None) -> Any:
    try:
        return read_it(certificate.extensions.get_extension_for_class(kind).value)
    except x509.ExtensionNotFound:
        return absent


def _names(value: x509.SubjectAlternativeName) -> list[str]:
    return [str(n.value) for n in value if isinstance(n, x509.DNSName | x509.IPAddress)]


def _verifies(certificate: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(certificate)
    except (InvalidSignature, ValueError, TypeError, UnsupportedAlgorithm):
        return False
    return True
