"""The quick walk over the DER says what cryptography says, on sound certificates and on broken ones."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import certifi
import pytest
from bench.corpus import corpus
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import InvalidVersion, load_pem_x509_certificates
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyasn1.error import PyAsn1Error

from keymuster.normalise import parse_certificate, parse_certificates
from keymuster.schema import tables
from keymuster.x509 import AUTHORITY, COLUMNS
from tests.certificates import Builder, authority
from tests.x509_reference import BROKEN, is_suspect, load, reference

MADE = corpus(150, seed=7, cache=None)
ENTRIES = {
    "2.5.29.15": ("key_usage", []), "2.5.29.37": ("extended_key_usage", []), "2.5.29.19": ("is_ca", None), "2.5.29.17": ("san_names", None),
    "2.5.29.32": ("policy_oids", None), "2.5.29.31": ("crl_urls", None), "1.3.6.1.5.5.7.1.1": ("aia_entries", None),
    "1.3.6.1.4.1.11129.2.4.2": ("earliest_sct_at", None),
}  # fmt: skip
"""Extension that becomes a column -> the column, and its value when the extension is broken."""
DEEP = {"2.5.29.32", "2.5.29.31", "1.3.6.1.5.5.7.1.1", "2.5.29.17"}
"""Extensions with parts that no column shows (qualifiers, directory names), over which the walk steps without judging them."""


@pytest.fixture(scope="module")
def roots() -> list[bytes]:
    """The CA certificates that browsers trust: real ones, some with oddities of the nineties."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # some serials are not positive
        return [c.public_bytes(Encoding.DER) for c in load_pem_x509_certificates(Path(certifi.where()).read_bytes())]


def agree(der: bytes) -> dict[str, Any]:
    """Check every column that cryptography can give, and that defects are exactly what it sees."""
    found = parse_certificate(der)
    try:
        expected, values = reference(der)
    except PyAsn1Error:  # stricter than the rest about attributes of names
        return found
    framing = expected.pop("framing_defects")
    for column, value in expected.items():
        if column != "signature_algorithm" or value is not None:
            assert found[column] == value, column
    assert {d: d in found["encoding_defects"] for d in framing} == framing
    is_bad = "bad_der" in found["encoding_defects"]
    assert not is_bad or is_suspect(der, expected, values), "bad_der, but cryptography reads it all"
    for identifier in ENTRIES.keys() & {i for i, value in values.items() if value is BROKEN} - DEEP:
        assert is_bad, f"cryptography refuses {identifier}, and no defect tells it"
        column, broken = ENTRIES[identifier]
        assert found[column] == broken, column
    return found


def test_every_parsed_column_is_there() -> None:
    assert set(COLUMNS) - {AUTHORITY} == set(tables()["certificates"].names("parsed"))


def test_agrees_on_made_certificates() -> None:
    for der in MADE:
        agree(der)


def test_agrees_on_real_roots(roots: list[bytes]) -> None:
    found = [agree(der) for der in roots]
    assert sum(row["is_self_signed"] is True for row in found) > len(found) / 2


def test_table_says_the_same_as_single_rows(roots: list[bytes]) -> None:
    ders = roots + MADE
    rows = parse_certificates(ders, rows=64).drop_columns([AUTHORITY]).to_pylist()
    assert rows == [parse_certificate(der) for der in ders]


BASES = [*MADE[:60], authority("Fuzz CA").der, Builder("fuzz.example.com").dns("*.example.com").issue(authority("F")).der]


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    """A certificate with one to four octets changed, most of them where extensions, names and keys are."""
    der = bytearray(draw(st.sampled_from(BASES)))
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(der) - 1))
        der[at] = draw(
            st.one_of(st.integers(0, 255), st.sampled_from([0, 1, 2, 3, 4, 5, 6, 0x0C, 0x13, 0x30, 0x7F, 0x80, 0x82, 0x86, 0xFF]))
        )
    return bytes(der)


@settings(max_examples=250, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(mutated())
def test_agrees_on_broken_certificates(der: bytes) -> None:
    try:
        load(der)
    except (ValueError, InvalidVersion):
        with pytest.raises(ValueError):
            parse_certificate(der)
        return
    agree(der)
