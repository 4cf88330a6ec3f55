"""Revocation lists as evidence: only what verifies under the issuing authority's key says anything."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding

DER = Encoding.DER
COMPROMISED = {"keyCompromise", "keyTime", x509.ReasonFlags.key_compromise.value}
"""Words for a compromise of the subject's own key, in index.txt and in lists."""


@dataclass(frozen=True, slots=True)
class List:
    """One verified list."""

    der: bytes
    issuer: x509.Name
    this_update_at: datetime
    revoked: dict[int, tuple[datetime, str | None]]
    """Revocation date and reason by serial number."""


def read(data: bytes, authorities: Sequence[x509.Certificate]) -> List:
    """Parse and verify. ValueError if it is no list, or none of the authorities signed it."""
    try:
        crl = x509.load_pem_x509_crl(data) if b"-----BEGIN" in data[:4096] else x509.load_der_x509_crl(data)
        signers = [a for a in authorities if a.subject == crl.issuer]
        is_valid = any(crl.is_signature_valid(a.public_key()) for a in signers)  # type: ignore[arg-type]  # what a CA may hold
    except (UnsupportedAlgorithm, TypeError) as error:
        raise ValueError(f"its signature cannot be checked: {error}") from None
    if not is_valid:
        raise ValueError("its signature does not verify" if signers else "none of the authorities at hand has issued it")
    entries: Iterable[Any] = crl
    revoked = {e.serial_number: (e.revocation_date_utc, _reason(e)) for e in entries}
    return List(crl.public_bytes(DER), crl.issuer, crl.last_update_utc, revoked)


def _reason(entry: x509.RevokedCertificate) -> str | None:
    try:
        return entry.extensions.get_extension_for_class(x509.CRLReason).value.reason.value
    except (x509.ExtensionNotFound, ValueError):
        return None


def status(certificate: x509.Certificate, lists: Iterable[List]) -> dict[str, Any]:
    """Revocation columns of a certificate by the newest list of its issuer; empty if there is none."""
    mine = [one for one in lists if one.issuer == certificate.issuer]
    if not mine:
        return {}
    newest = max(mine, key=lambda one: one.this_update_at)
    checked = {"revocation_checked_at": newest.this_update_at}
    if certificate.serial_number not in newest.revoked:
        return {"revocation_status": "good", **checked}
    revoked_at, reason = newest.revoked[certificate.serial_number]
    return {"revocation_status": word(reason), "revoked_at": revoked_at, **checked}


def word(reason: str | None) -> str:
    """The vocabulary's word for a revocation with this reason."""
    return "revoked_key_compromise" if reason in COMPROMISED else "revoked"
