"""Which of a CA's own certificates signed a certificate: joins issuances to authorities."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm

from keymuster.x509 import authority_asset_id


@dataclass
class Issuers:
    """The CA certificates met so far, by subject; several of one name differ by key."""

    _known: dict[bytes, list[tuple[x509.Certificate, str]]] = field(default_factory=dict)

    def add(self, der: bytes) -> None:
        """Remember a CA certificate; one that cannot be parsed signs nothing that we could show."""
        with suppress(ValueError):
            certificate = x509.load_der_x509_certificate(der)
            self._known.setdefault(certificate.subject.public_bytes(), []).append((certificate, authority_asset_id(der)))

    def of(self, der: bytes) -> tuple[str | None, x509.Certificate | None]:
        """asset_id of the authority whose key verifies the certificate (None: not one of ours), and the parsed certificate."""
        try:
            certificate = x509.load_der_x509_certificate(der)
            candidates = self._known.get(certificate.issuer.public_bytes(), [])
        except ValueError:
            return None, None  # normalise reports it
        for issuer, asset_id in candidates:
            with suppress(ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm):
                certificate.verify_directly_issued_by(issuer)
                return asset_id, certificate
        return None, certificate
