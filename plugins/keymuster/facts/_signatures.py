"""Whose signature a certificate bears: what must be read of it to know whom to ask, and the answers. Both are remembered.

A remembered certificate is not loaded at all. What is read follows from its DER alone, and whether it verifies from the certificate and the
key: the name of the issuer is part of the certificate, and only keys of that name are tried.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
from cryptography import x509

from keymuster.facts._certificates import extension, load, purposes
from keymuster.facts._memory import CRYPTOGRAPHY, answered, recalled, remember
from keymuster.protocols import FactContext, Kind
from keymuster.signatures import is_signed_by

LIMIT = 2_000_000
_verified: dict[str, bool] = {}
"""Verdicts by pair; true for all time, so kept between shards and facts of this process."""


@dataclass(frozen=True, slots=True)
class Reading:
    """What a certificate says of its issuer."""

    issuer: bytes
    """DER of the name."""
    identifier: bytes | None
    """Authority key identifier, empty where the extension has none; None without extension."""
    purposes: frozenset[str] | None
    """Extended key usage; None where it is not restricted."""


_READING = pa.struct([("issuer", pa.binary()), ("identifier", pa.binary()), ("purposes", pa.list_(pa.string()))])
READINGS = Kind("certificates", f"1-{CRYPTOGRAPHY}", _READING)
"""Fingerprint -> Reading; null where the name cannot be read."""
SIGNATURES = Kind("signatures", f"2-{CRYPTOGRAPHY}", pa.bool_())
"""Pair of fingerprint and key -> whether the certificate verifies under the key."""


def _read(certificate: x509.Certificate) -> Reading | None:
    try:
        issuer = certificate.issuer.public_bytes()
    except ValueError:  # e.g. a TeletexString that is no UTF-8
        return None
    found = extension(certificate, x509.AuthorityKeyIdentifier)
    return Reading(issuer, None if found is None else found.key_identifier or b"", purposes(certificate))


def _packed(reading: Reading | None) -> dict[str, Any] | None:
    if reading is None:
        return None
    listed = None if reading.purposes is None else sorted(reading.purposes)
    return {"issuer": reading.issuer, "identifier": reading.identifier, "purposes": listed}


def _unpacked(row: Mapping[str, Any]) -> Reading:
    return Reading(**{**row, "purposes": None if row["purposes"] is None else frozenset(row["purposes"])})


class Batch:
    """Certificates that are asked together. What must be fetched of the store is fetched at once, and once."""

    def __init__(self, prints: Sequence[str], context: FactContext, at_hand: Mapping[str, x509.Certificate]) -> None:
        self._prints, self._context, self._at_hand = prints, context, at_hand
        self._fetched: dict[str, bytes] = {}
        """DERs, not certificates: those grow to many times their size once somebody asks for their extensions."""

    def _certificates(self, prints: Iterable[str]) -> Iterator[tuple[str, x509.Certificate]]:
        """By fingerprint; those whose DER was not kept or is none are left out."""
        wanted = sorted(prints)
        missing = [p for p in wanted if p not in self._at_hand and p not in self._fetched]
        self._fetched |= self._context.ders(missing) if missing else {}
        for p in wanted:
            certificate = self._at_hand.get(p) or load(self._fetched.get(p, b""))
            if certificate is not None:
                yield p, certificate

    def readings(self) -> dict[str, Reading]:
        """What is read of each; without those that cannot be had or read. What is at hand anyway need not be remembered."""
        found = {p: _read(self._at_hand[p]) for p in self._prints if p in self._at_hand}
        others = [p for p in self._prints if p not in found]
        rows = answered(self._context, READINGS, others, lambda missing: {p: _packed(_read(c)) for p, c in self._certificates(missing)})
        found |= {p: _unpacked(row) for p, row in rows.items() if row is not None}
        return {p: reading for p, reading in found.items() if reading is not None}

    def verdicts(self, tries: Mapping[str, Mapping[str, x509.Certificate]]) -> dict[str, str]:
        """The key that verifies each certificate, of those to be tried on it: fingerprint -> spki_sha256 -> an issuer with that key."""
        pairs = {(p, key): _pair(p, key) for p, keys in tries.items() for key in keys}
        known = recalled(self._context, SIGNATURES, pairs.values())
        is_open = [p for p, keys in tries.items() if _must_verify(known.get(pairs[p, key]) for key in keys)]
        found = {p: key for p, keys in tries.items() for key in keys if known.get(pairs[p, key])}
        fresh: dict[str, bool] = {}
        for p, certificate in self._certificates(is_open):
            for key, issuer in tries[p].items():
                pair = pairs[p, key]
                fresh[pair] = known[pair] if pair in known else _is_signed(pair, certificate, issuer)
                if fresh[pair]:
                    found[p] = key
                    break
        remember(self._context, SIGNATURES, {pair: answer for pair, answer in fresh.items() if pair not in known})
        return found


def _pair(print_: str, key: str) -> str:
    return hashlib.sha256(f"{print_} {key}".encode()).hexdigest()


def _must_verify(answers: Iterable[bool | None]) -> bool:
    """Whether an answer is missing before one that is yes."""
    return next((answer is None for answer in answers if answer is not False), False)


def _is_signed(pair: str, certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
    """Whether a certificate names this issuer and verifies under its key."""
    if pair not in _verified:
        if len(_verified) >= LIMIT:
            _verified.clear()
        _verified[pair] = is_signed_by(certificate, issuer) is True
    return _verified[pair]
