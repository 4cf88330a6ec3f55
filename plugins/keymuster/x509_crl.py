"""Revocation lists, read from their DER. Walking the entries is several times quicker than asking cryptography for each one."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from cryptography import x509

from keymuster.der import OCTET_STRING, OID, SEQUENCE, Malformed, children, encoded, expect, header, whole
from keymuster.x509_keys import read_signature

REASONS = {
    0: "unspecified", 1: "keyCompromise", 2: "cACompromise", 3: "affiliationChanged", 4: "superseded", 5: "cessationOfOperation",
    6: "certificateHold", 8: "removeFromCRL", 9: "privilegeWithdrawn", 10: "aACompromise",
}  # fmt: skip
"""CRLReason (RFC 5280 section 5.3.1)."""
MAX_BYTES = 256 << 20
_REASON_CODE, _ENUMERATED, _TIMES = encoded("2.5.29.21"), 0x0A, (0x17, 0x18)


def parse_crl(der: bytes) -> dict[str, Any]:
    """Columns this_update_at, next_update_at, signature_hash and reason_codes (by code, each once). ValueError if it is not a CRL."""
    if len(der) > MAX_BYTES:
        raise Malformed(f"larger than {MAX_BYTES:,} bytes")
    crl = x509.load_der_x509_crl(der)
    start, _ = whole(der, SEQUENCE)
    at, tbs_end = expect(der, start, len(der), SEQUENCE)
    _, _, signature_end = header(der, tbs_end, len(der))
    return {
        "this_update_at": crl.last_update_utc,
        "next_update_at": crl.next_update_utc,
        "signature_hash": read_signature(der[tbs_end:signature_end]).hash,
        "reason_codes": [REASONS[code] for code in sorted(_reasons(der, at, tbs_end))],
    }


def _reasons(der: bytes, at: int, end: int) -> set[int]:
    """Reason codes met in revokedCertificates (RFC 5280 section 5.1.2.6)."""
    members = children(der, at, end)
    # version, signature, issuer, thisUpdate, nextUpdate: the list is the SEQUENCE that follows the last Time
    after = max(i for i, member in enumerate(members) if member[0] in _TIMES) + 1
    if after >= len(members) or members[after][0] != SEQUENCE:
        return set()
    _, _, at, end = members[after]
    codes: set[int] = set()
    while at < end:
        _, entry, at = header(der, at, end)
        for _ in ("userCertificate", "revocationDate"):
            _, _, entry = header(der, entry, at)
        if entry < at and (code := _entry_reason(der[entry:at])) is not None:
            codes.add(code)
    return codes


@lru_cache(4096)
def _entry_reason(raw: bytes) -> int | None:
    """Reason code in the crlEntryExtensions; None without one. Malformed for a code that is not assigned."""
    for _, _, at, stop in children(raw, *whole(raw, SEQUENCE)):
        start, end = expect(raw, at, stop, OID)
        if raw[start:end] == _REASON_CODE:
            start, end = expect(raw, end + 3 if raw[end] == 1 else end, stop, OCTET_STRING)
            code = raw[slice(*_enumerated(raw, start, end))]
            if len(code) != 1 or code[0] not in REASONS:
                raise Malformed("an entry has a reason code that is not assigned")
            return code[0]
    return None


def _enumerated(raw: bytes, start: int, end: int) -> tuple[int, int]:
    """Content bounds of the ENUMERATED between `start` and `end`."""
    at, stop = expect(raw, start, end, _ENUMERATED)
    if stop != end:
        raise Malformed("bytes follow the reason code")
    return at, stop
