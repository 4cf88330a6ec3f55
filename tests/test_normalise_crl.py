"""Revocation lists: what the walk reads is what cryptography reads."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import given, settings
from hypothesis import strategies as st

from keymuster.normalise import parse_crl
from tests.certificates import ec_key

START = datetime(2026, 1, 1, tzinfo=UTC)
KEY = ec_key("crl")


def made(reasons: list[x509.ReasonFlags | None], days: int = 7) -> bytes:
    """A CRL with one entry a reason; None: an entry without a reason."""
    issuer = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "CRL Issuer")])
    builder = x509.CertificateRevocationListBuilder().issuer_name(issuer).last_update(START).next_update(START + timedelta(days=days))
    for number, reason in enumerate(reasons, 1):
        entry = x509.RevokedCertificateBuilder().serial_number(number).revocation_date(START)
        if reason is not None:
            entry = entry.add_extension(x509.InvalidityDate(START), critical=False).add_extension(
                x509.CRLReason(reason), critical=number % 2 == 0
            )
        builder = builder.add_revoked_certificate(entry.build())
    return builder.sign(KEY, hashes.SHA384()).public_bytes(Encoding.DER)


ENTRY_REASONS = [r for r in x509.ReasonFlags if r is not x509.ReasonFlags.remove_from_crl]


@settings(max_examples=40, deadline=None)
@given(st.lists(st.one_of(st.none(), st.sampled_from(list(x509.ReasonFlags))), max_size=12), st.integers(1, 20_000))
def test_agrees_with_cryptography(reasons: list[x509.ReasonFlags | None], days: int) -> None:
    der = made(reasons, days)
    row = parse_crl(der)
    crl = x509.load_der_x509_crl(der)
    found = {e.extensions.get_extension_for_class(x509.CRLReason).value.reason.value for e in crl if len(e.extensions)}
    assert set(row["reason_codes"]) == found
    assert len(row["reason_codes"]) == len(found)
    assert (row["this_update_at"], row["next_update_at"], row["signature_hash"]) == (START, START + timedelta(days=days), "SHA384")


BASE = made([None, *ENTRY_REASONS])


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(st.integers(0, len(BASE) - 1), st.integers(0, 255)), min_size=1, max_size=3))
def test_broken_lists_are_refused_or_read_never_a_crash(changes: list[tuple[int, int]]) -> None:
    der = bytearray(BASE)
    for at, octet in changes:
        der[at] = octet
    try:
        row = parse_crl(bytes(der))
    except ValueError:
        return
    assert row.keys() == {"this_update_at", "next_update_at", "signature_hash", "reason_codes"}


@pytest.mark.parametrize("der", [b"", b"noise", BASE[:-1], BASE + b"\0"])
def test_what_is_no_list(der: bytes) -> None:
    with pytest.raises(ValueError):
        parse_crl(der)
