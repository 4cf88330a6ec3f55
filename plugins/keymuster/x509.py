"""Certificates as columns: every column of origin `parsed`, read by one walk over the DER.

cryptography's strict loader goes first, so that the frame (lengths, times, extension list) is sound; the walk then reads the fields
itself, with caches keyed by raw bytes, which is several times quicker than asking for them one by one. What lies inside extension
values, names and keys is not checked by the loader and is therefore read strictly here; what is wrong there is the defect `bad_der`.
"""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any

import pyarrow as pa
from cryptography import x509
from cryptography.utils import CryptographyDeprecationWarning

from keymuster import x509_extensions as values
from keymuster.der import BOOLEAN, LONG, Malformed, encoded, header
from keymuster.oids import EXTENSIONS, POISON, RECOGNISED, SCT_LIST, name_of
from keymuster.schema import tables
from keymuster.signatures import is_signed_by
from keymuster.x509_keys import read_key, read_signature
from keymuster.x509_names import read_name

PARSER_VERSION = "2"
"""Part of the address of what was parsed once: raise it whenever a column changes its value for some certificate."""
MAX_BYTES = 1 << 20
"""No certificate is larger; a bigger one is a mistake or an attack."""
AUTHORITY = "authority_asset_id"
"""Remembered beside the columns: sha256 of subject and SPKI, the identity of the authority that the certificate names."""
COLUMNS = (
    "asset_id", "key_algorithm", "key_bits", "key_curve", "spki_sha256", "serial_number", "subject", "subject_attribute_types", "issuer",
    "not_before", "not_after", "earliest_sct_at", "is_self_signed", "is_precertificate", "signature_algorithm", "signature_hash",
    "signature_algorithm_der", "spki_algorithm_der", "rsa_exponent", "encoding_defects", "extensions", "critical_extensions", "san_names",
    "san_types", "is_wildcard", "key_usage", "extended_key_usage", "is_ca", "policy_oids", "crl_urls", "aia_entries", AUTHORITY,
)  # fmt: skip
"""Order of a row: the `parsed` columns of certificates, then AUTHORITY."""
SCHEMA = pa.schema([(n, pa.string() if n == AUTHORITY else tables()["certificates"].columns[n].arrow) for n in COLUMNS])

_EPOCH, _SECOND = datetime(1970, 1, 1, tzinfo=UTC), 1_000_000
_V3, _UTC_TIME, _NOT_EXTENDED = 2, 0x17, 2050
Row = tuple[Any, ...]
Extension = tuple[tuple[bytes, bool], int, Any, bool]
"""OID and whether it is critical, slot of its value, the value, whether it is sound."""


def parse_certificate(der: bytes) -> dict[str, Any]:
    """Every `parsed` column of one certificate by name, instants as aware UTC datetimes. ValueError if it is not a certificate."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CryptographyDeprecationWarning)
        row = dict(zip(COLUMNS, _row(der), strict=True))
    for name in ("not_before", "not_after", "earliest_sct_at"):
        if row[name] is not None:
            row[name] = _EPOCH + timedelta(microseconds=row[name])
    del row[AUTHORITY]
    return {name: list(value) if isinstance(value, list) else value for name, value in row.items()}


def authority_asset_id(der: bytes) -> str:
    """Identity of the authority that a CA certificate names: sha256 of the DER of its subject and SPKI. ValueError as above."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CryptographyDeprecationWarning)
        return str(_row(der)[COLUMNS.index(AUTHORITY)])


def parse_certificates(ders: Iterable[bytes], refused: dict[str, str] | None = None, rows: int = 8192) -> pa.Table:
    """One row a certificate, columns as `SCHEMA`, in the order given; made in batches of `rows` to bound the memory.

    A certificate that cannot be parsed is left out and noted in `refused` (sha256 of its bytes -> why); without it, ValueError.
    """
    batches: list[pa.RecordBatch] = []
    pending: list[Row] = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CryptographyDeprecationWarning)
        for der in ders:
            try:
                pending.append(_row(der))
            except ValueError as error:
                if refused is None:
                    raise
                refused[hashlib.sha256(der).hexdigest()] = str(error)
            if len(pending) >= rows:
                batches.append(_batch(pending))
                pending = []
    if pending:
        batches.append(_batch(pending))
    return pa.Table.from_batches(batches, SCHEMA)


def _batch(rows: Sequence[Row]) -> pa.RecordBatch:
    columns = zip(*rows, strict=True)
    arrays = []
    for field, column in zip(SCHEMA, columns, strict=True):
        # instants travel as whole microseconds: datetimes would cost more than all the parsing
        array = pa.array(column, pa.int64()).cast(field.type) if pa.types.is_timestamp(field.type) else pa.array(column, field.type)
        arrays.append(array)
    return pa.record_batch(arrays, schema=SCHEMA)


def _row(der: bytes) -> Row:
    if len(der) > MAX_BYTES:
        raise Malformed(f"larger than {MAX_BYTES:,} bytes")
    try:
        certificate = x509.load_der_x509_certificate(der)
    except x509.InvalidVersion as error:
        raise Malformed(f"version {error.parsed_version + 1} is none that X.509 certificates have here") from error
    except ValueError as error:
        raise Malformed(f"not a DER certificate ({error})") from error
    return _walk(der, certificate)


def _walk(der: bytes, certificate: x509.Certificate) -> Row:
    """Read the fields in the order of RFC 5280 section 4.1."""
    _, at, end = header(der, 0, len(der))
    _, at, tbs_end = header(der, at, end)
    algorithm = der[tbs_end : _end(der, tbs_end)]
    signature = read_signature(algorithm)
    version = 0
    if der[at] == 0xA0:
        version, at = der[at + 4], _end(der, at)
    stop = _end(der, at)
    serial = der[at + 2 : stop] if der[at + 1] < LONG else der[header(der, at, stop)[1] : stop]
    at = _end(der, stop)
    is_mismatched = der[stop:at] != algorithm
    stop = _end(der, at)
    raw_issuer = der[at:stop]
    issuer, _, issuer_sound = read_name(raw_issuer)
    at = _end(der, stop)
    not_before, start, before_sound = _instant(der, stop + 2)  # two times are always shorter than 128 octets
    not_after, _, after_sound = _instant(der, start)
    stop = _end(der, at)
    raw_subject = der[at:stop]
    subject, subject_types, subject_sound = read_name(raw_subject)
    at = _end(der, stop)
    spki = der[stop:at]
    key = read_key(spki)
    has_unique_id = False
    while at < tbs_end and der[at] != 0xA3:
        at, has_unique_id = _end(der, at), True
    found = _extensions(der, at, tbs_end) if at < tbs_end else _NO_EXTENSIONS
    names, critical, is_precertificate, marks, sct, san, usage, purposes, is_ca, policies, crls, access, sound = found
    defects = ["not_v3"] if version != _V3 else []
    if has_unique_id:
        defects.append("unique_id_present")
    defects += marks
    if not (before_sound and after_sound):
        defects.append("bad_time_encoding")
    if not (sound and issuer_sound and subject_sound and key.is_sound):
        defects.append("bad_der")
    if is_mismatched:
        defects.append("signature_algorithm_mismatch")
    defects += key.defects
    is_own = raw_issuer == raw_subject and is_signed_by(certificate, certificate)
    return (
        hashlib.sha256(der).hexdigest(), key.algorithm, key.bits, key.curve, hashlib.sha256(spki).hexdigest(), _serial(serial), subject,
        subject_types, issuer, not_before, not_after, sct, is_own, is_precertificate,
        signature.name, signature.hash, signature.der, key.algorithm_der, key.exponent, defects, names, critical, san[0], san[1], san[2],
        usage, purposes, is_ca, policies, crls, access, hashlib.sha256(raw_subject + spki).hexdigest(),
    )  # fmt: skip


_NO_SAN: tuple[list[str], list[str], bool] = ([], [], False)
_ABSENT: tuple[Any, ...] = (None, _NO_SAN, None, None, False, [], [], [])
"""Values by slot where there is no such extension: SCTs, SAN, key usage, purposes, cA, policies, CRL URLs, access entries."""
_NO_EXTENSIONS: tuple[Any, ...] = ([], [], False, [], *_ABSENT, True)
_READERS: Mapping[bytes, tuple[int, Any, Any]] = {
    SCT_LIST: (0, values.earliest_sct, None),
    encoded("2.5.29.17"): (1, values.alternative_names, (None, None, None)),
    encoded("2.5.29.15"): (2, values.key_usage, []),
    encoded("2.5.29.37"): (3, values.extended_key_usage, []),
    encoded("2.5.29.19"): (4, values.basic_constraints, None),
    encoded("2.5.29.32"): (5, values.policies, None),
    encoded("2.5.29.31"): (6, values.crl_urls, None),
    encoded("1.3.6.1.5.5.7.1.1"): (7, values.access_descriptions, None),
}
"""Slot, reader, and the value of an extension that is broken: unknown, or an empty list where a null would read as 'not there'."""
_OF_ONE = frozenset({SCT_LIST, encoded("2.5.29.17"), encoded("2.5.29.14")})
"""Extensions that no two certificates share (SCTs, SAN, subject key identifier): remembering them would only cost."""
_CACHE_LIMIT, _CACHED_BYTES = 65_536, 4096
_cache: dict[bytes, Extension] = {}


def _extensions(der: bytes, at: int, end: int) -> tuple[Any, ...]:
    """Names, critical names, whether it is a precertificate, defects, the values by slot, soundness."""
    _, at, end = header(der, at, end)
    _, at, end = header(der, at, end)
    found: list[Extension] = []
    while at < end:
        stop = at + 2 + der[at + 1] if der[at + 1] < LONG else header(der, at, end)[2]
        raw = der[at:stop]
        found.append(_cache.get(raw) or _extension(raw))
        at = stop
    summary = _summary(tuple([extension[0] for extension in found]))
    if summary[3][:1] == ["duplicate_extension"]:  # the first one counts
        found = list({extension[0][0]: extension for extension in reversed(found)}.values())
    slots, sound = [*_ABSENT, None], True
    for _, slot, value, is_sound in found:
        slots[slot] = value
        sound = sound and is_sound
    slots[-1] = sound
    return (*summary, *slots)


def _extension(raw: bytes) -> Extension:
    """Read one Extension of the frame that the loader has checked; those without a column go to the last slot."""
    start = 2 if raw[1] < LONG else header(raw, 0, len(raw))[1]
    start, stop = (start + 2, start + 2 + raw[start + 1]) if raw[start + 1] < LONG else header(raw, start, len(raw))[1:]
    oid = raw[start:stop]
    is_critical = raw[stop] == BOOLEAN
    stop += 3 * is_critical
    slot, reader, broken = _READERS.get(oid) or (-1, None, None)
    value, sound = None, True
    if reader is not None:
        try:
            value, sound = reader(raw[stop + 2 :] if raw[stop + 1] < LONG else raw[header(raw, stop, len(raw))[1] :])
        except Malformed:
            value, sound = broken, False
    extension = ((oid, is_critical), slot, value, sound)
    if oid not in _OF_ONE and len(raw) <= _CACHED_BYTES:
        if len(_cache) >= _CACHE_LIMIT:
            _cache.clear()
        _cache[raw] = extension
    return extension


@lru_cache(4096)
def _summary(shapes: tuple[tuple[bytes, bool], ...]) -> tuple[list[str], list[str], bool, list[str]]:
    """Names of the extensions, names of the critical ones, whether the CT poison is there, defects."""
    oids, critical = [oid for oid, _ in shapes], dict.fromkeys(oid for oid, is_critical in shapes if is_critical)
    marks = ["duplicate_extension"] if len(set(oids)) < len(oids) else []
    if not RECOGNISED.issuperset(critical):
        marks.append("unknown_critical_extension")
    names = [name_of(EXTENSIONS, oid) for oid in dict.fromkeys(oids)]
    return names, [name_of(EXTENSIONS, oid) for oid in critical], POISON in oids, marks


def _serial(octets: bytes) -> str:
    return octets.hex().lstrip("0") or "0" if octets[0] < 128 else f"{int.from_bytes(octets, 'big', signed=True):x}"


def _end(der: bytes, at: int) -> int:
    """Where the element at `at` ends, in the frame that the loader has checked."""
    length = der[at + 1]
    return at + 2 + length if length < LONG else header(der, at, len(der))[2]


def _instant(der: bytes, at: int) -> tuple[int, int, bool]:
    """Microseconds since 1970, end of the element, and whether RFC 5280 section 4.1.2.5 wants this encoding for this year."""
    start, stop = at + 2, at + 2 + der[at + 1]
    if der[at] == _UTC_TIME:
        century = b"19" if der[start] >= 0x35 else b"20"  # '5'
        return _day(century + der[start : start + 6]) + _time_of_day(der[start + 6 : stop]), stop, True
    day = _day(der[start : start + 8])
    return day + _time_of_day(der[start + 8 : stop]), stop, int(der[start : start + 4]) >= _NOT_EXTENDED


@lru_cache(32_768)
def _day(text: bytes) -> int:
    """Microseconds since 1970 of YYYYMMDD. ValueError for year 0."""
    return (datetime(int(text[:4]), int(text[4:6]), int(text[6:]), tzinfo=UTC) - _EPOCH) // timedelta(microseconds=1)


@lru_cache(86_400)
def _time_of_day(text: bytes) -> int:
    """Microseconds of HHMMSSZ."""
    return (int(text[:2]) * 3600 + int(text[2:4]) * 60 + int(text[4:6])) * _SECOND
