"""Paths that a client would accept, asked of `cryptography.x509.verification`."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from cryptography import x509
from cryptography.x509.verification import Criticality, ExtensionPolicy, PolicyBuilder, Store, VerificationError

MAX_DEPTH = 8
"""Most intermediate certificates of a path."""


class Paths:
    """Looks for a path from a leaf to a set of roots; purposes and names of the leaf are other questions."""

    def __init__(self, roots: Sequence[x509.Certificate]) -> None:
        # A CA must say that it is one; the leaf may look like anything, for private and self-made ones do.
        ca = ExtensionPolicy.permit_all().require_present(x509.BasicConstraints, Criticality.AGNOSTIC, None)
        builder = PolicyBuilder().max_chain_depth(MAX_DEPTH).extension_policies(ca_policy=ca, ee_policy=ExtensionPolicy.permit_all())
        self._builder = builder.store(Store(list(roots))) if roots else None

    def reaches(self, leaf: x509.Certificate, intermediates: Sequence[x509.Certificate], as_of: datetime) -> bool:
        """Whether a valid path exists, at as_of or at the nearest instant at which the leaf was valid: its expiry is another question."""
        if self._builder is None:
            return False
        at = min(max(as_of, leaf.not_valid_before_utc), leaf.not_valid_after_utc).replace(microsecond=0)
        try:
            self._builder.time(at).build_client_verifier().verify(leaf, list(intermediates))
        except (VerificationError, ValueError):
            return False
        return True
