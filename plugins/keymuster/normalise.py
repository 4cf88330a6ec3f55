"""From the records of one station to the rows of its snapshot: the one place that parses X.509 and keys.

One malformed thing never ends a run: it becomes a `Problem` and is left out, counted as unreadable. Problem codes of this room:
certificate_unparsable, key_unparsable, crl_unparsable, authority_unparsable, locator_duplicate, attribute_unknown, attribute_invalid,
table_unknown, coverage_missing, private_key_withheld.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Protocol

import pyarrow as pa
import pyarrow.compute as pc

from keymuster.identity import identity
from keymuster.model import Coverage, Problem, Record
from keymuster.schema import tables
from keymuster.x509 import AUTHORITY, COLUMNS, SCHEMA, authority_asset_id, parse_certificate, parse_certificates
from keymuster.x509_crl import parse_crl
from keymuster.x509_keys import parse_spki

__all__ = [
    "Normalised", "ParseMemory", "authority_asset_id", "normalise", "parse_certificate", "parse_certificates", "parse_crl", "parse_spki",
]  # fmt: skip

_ALWAYS = ("asset_id", "station", "locator", "observed_at")
_CERTIFICATE_TABLES = ("certificates", "authorities")
_KEY_TABLES = ("keys", "ssh_keys")
_UNPARSABLE = {
    "certificates": "certificate_unparsable", "authorities": "authority_unparsable", "keys": "key_unparsable",
    "ssh_keys": "key_unparsable", "revocation_services": "crl_unparsable",
}  # fmt: skip


class ParseMemory(Protocol):
    """Where parsed certificates are remembered by fingerprint (see `store.Store`)."""

    def parsed(self, fingerprints: Iterable[str]) -> pa.Table:
        """Rows of those that are known, in any order; columns as `x509.SCHEMA`."""
        ...

    def remember(self, rows: pa.Table) -> None:
        """Keep rows of `x509.SCHEMA`."""
        ...


@dataclass(frozen=True)
class Normalised:
    """What `Store.write_snapshot` takes."""

    tables: Mapping[str, pa.Table]
    """Columns as `schema.Table.stored()`, rows sorted by locator."""
    problems: tuple[Problem, ...]
    coverage: Coverage
    ders: Mapping[str, bytes]
    """Certificates by fingerprint and public keys by spki_sha256."""
    delivers: Mapping[str, frozenset[str]]
    parsed: int
    """Certificates that had to be parsed; the others were remembered. What cannot be parsed is tried again each time, and not counted."""


@dataclass
class _Intake:
    """Records sorted by table while the stream runs."""

    rows: dict[str, list[Record]] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    coverage: Coverage | None = None
    unreadable: int = 0
    ders: dict[str, bytes] = field(default_factory=dict)

    def refuse(self, table: str, locator: str, why: str) -> None:
        self.problems.append(Problem(_UNPARSABLE[table], locator, why[:300]))
        self.unreadable += 1


def normalise(
    stream: Iterable[Record | Problem | Coverage],
    *,
    station: str,
    source: str,
    as_of: datetime,
    delivers: Mapping[str, Iterable[str]],
    cache: ParseMemory | None = None,
) -> Normalised:
    """Parse each distinct DER once, give every row its identity and its place in the vocabulary.

    `delivers` is the source's DELIVERS; what comes back adds the parsed columns. Errors of the source pass through.
    """
    intake = _Intake()
    _take_in(stream, intake)
    certificates, parsed = _certificates(intake, cache)
    made = {}
    for name in sorted(intake.rows.keys() | delivers.keys()):
        if name in tables():
            made[name] = _table(name, intake, certificates, station, as_of)
    coverage = _coverage(intake)
    made["stations"] = _stations(station, source, as_of, coverage)
    known = {
        name: frozenset((*delivers.get(name, ()), *tables()[name].names("parsed"), *_ALWAYS)) for name in made
    } | {"stations": frozenset(tables()["stations"].names("source", "parsed"))}  # fmt: skip
    problems = sorted(set(intake.problems), key=lambda p: (p.code, p.locator or "", p.detail))
    return Normalised(made, tuple(problems), coverage, intake.ders, known, parsed)


def _take_in(stream: Iterable[Record | Problem | Coverage], intake: _Intake) -> None:
    seen: set[tuple[str, str]] = set()
    for item in stream:
        if isinstance(item, Coverage):
            intake.coverage = item
            continue
        locator = None if item.locator is None else _clean(item.locator)
        if isinstance(item, Problem):
            intake.problems.append(Problem(item.code, locator, _clean(item.detail)))
        elif item.table not in tables() or item.table == "stations":
            why = f"a source delivers no rows of {_clean(item.table)!r}"
            intake.problems.append(Problem("table_unknown", locator, why))
            intake.unreadable += 1
        elif (item.table, str(locator)) in seen:
            why = f"another row of {item.table} has this locator; the first one counts"
            intake.problems.append(Problem("locator_duplicate", locator, why))
        else:
            seen.add((item.table, str(locator)))
            intake.rows.setdefault(item.table, []).append(item if locator == item.locator else replace(item, locator=str(locator)))


def _clean(text: str) -> str:
    """Text as it can be stored: octets that were no UTF-8 (surrogates in file names) are spelled out, so that names stay distinct."""
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode()


def _certificates(intake: _Intake, cache: ParseMemory | None) -> tuple[pa.Table, int]:
    """Parsed rows of every certificate met, and how many had to be parsed. Records whose DER is none are dropped from the intake."""
    for name in _CERTIFICATE_TABLES:
        for record in intake.rows.get(name, ()):
            if record.der is not None:
                intake.ders.setdefault(hashlib.sha256(record.der).hexdigest(), record.der)
    known = cache.parsed(intake.ders) if cache is not None and intake.ders else SCHEMA.empty_table()
    remembered = set(known["asset_id"].to_pylist())
    refused: dict[str, str] = {}
    fresh = parse_certificates((der for key, der in intake.ders.items() if key not in remembered), refused)
    if cache is not None and fresh.num_rows:
        cache.remember(fresh)
    for key in refused:
        del intake.ders[key]
    for name in _CERTIFICATE_TABLES:
        _drop_refused(name, intake, refused)
    return pa.concat_tables([known.select(COLUMNS), fresh]), fresh.num_rows


def _drop_refused(name: str, intake: _Intake, refused: Mapping[str, str]) -> None:
    kept = []
    for record in intake.rows.get(name, ()):
        why = refused.get(hashlib.sha256(record.der).hexdigest()) if record.der is not None else None
        if why is None and record.der is None and name == "certificates":
            why = "the source gave no DER"
        if why is None:
            kept.append(record)
        else:
            intake.refuse(name, record.locator, why)
    if name in intake.rows:
        intake.rows[name] = kept


def _table(name: str, intake: _Intake, certificates: pa.Table, station: str, as_of: datetime) -> pa.Table:
    schema = tables()[name].stored()
    records = intake.rows.get(name, [])
    parsed: dict[str, pa.Array] = {}
    if name in _CERTIFICATE_TABLES:
        parsed = _joined(records, certificates)
    elif name in _KEY_TABLES:
        records, parsed = _columns_of(name, records, intake, parse_spki)
    elif name == "revocation_services":
        records, parsed = _columns_of(name, records, intake, parse_crl)
    given = _given(name, records, intake)
    columns = {}
    for f in schema:
        source, der = given.get(f.name), parsed.get(f.name)
        if source is not None and der is not None:
            first, second = (source, der) if name == "ssh_keys" else (der, source)
            columns[f.name] = pc.coalesce(first, second)
        else:
            columns[f.name] = source if der is None else der
        if columns[f.name] is None:
            columns[f.name] = pa.nulls(len(records), f.type)
    columns["station"] = pa.repeat(pa.scalar(station), len(records))
    columns["locator"] = pa.array([r.locator for r in records], pa.string())
    columns["observed_at"] = pc.fill_null(columns["observed_at"], pa.scalar(as_of, schema.field("observed_at").type))
    columns["asset_id"] = identity(name, columns, parsed.get(AUTHORITY), [r.der for r in records])
    table = pa.table([columns[f.name] for f in schema], schema=schema)
    return table.take(pc.sort_indices(table["locator"])).combine_chunks()


def _joined(records: list[Record], certificates: pa.Table) -> dict[str, pa.Array]:
    """Columns of the records' certificates, null where a record has none."""
    keys = pa.array([None if r.der is None else hashlib.sha256(r.der).hexdigest() for r in records], pa.string())
    indices = pc.index_in(keys, value_set=certificates["asset_id"])
    return {n: certificates[n].combine_chunks().take(indices) for n in certificates.column_names if certificates.num_rows}


def _columns_of(name: str, records: list[Record], intake: _Intake, parse: Any) -> tuple[list[Record], dict[str, pa.Array]]:
    """Records that parse or have no DER, and their parsed columns. Public keys are kept by their digest."""
    kept: list[Record] = []
    rows: list[Mapping[str, Any]] = []
    memory: dict[bytes, Mapping[str, Any]] = {}
    for record in records:
        try:
            row = {} if record.der is None else memory.get(record.der) or parse(record.der)
        except ValueError as error:
            intake.refuse(name, record.locator, str(error))
            continue
        if record.der is not None:
            memory[record.der] = row
            if "spki_sha256" in row:
                intake.ders[row["spki_sha256"]] = record.der
        kept.append(record)
        rows.append(row)
    columns = tables()[name].columns
    return kept, {n: pa.array([row.get(n) for row in rows], columns[n].arrow) for n in {n for row in rows for n in row}}


def _given(name: str, records: list[Record], intake: _Intake) -> dict[str, pa.Array]:
    """What the source itself said, by column; what it may not say, or says in the wrong type, is a problem and stays null."""
    schema = tables()[name].stored()
    used: set[str] = set()
    for record in records:
        used.update(record.attributes)
    for unknown in sorted(used - set(schema.names)):
        where = next(r.locator for r in records if unknown in r.attributes)
        intake.problems.append(Problem("attribute_unknown", where, f"table {name} has no column {unknown!r} that a source delivers"))
    columns = {}
    for column in sorted(used & set(schema.names)):
        column_type = schema.field(column).type
        values = [r.attributes.get(column) for r in records]
        try:
            columns[column] = _without_private_keys(pa.array(values, column_type), column, records, intake)
        except (pa.ArrowException, UnicodeError, OverflowError, TypeError, ValueError):
            pairs = zip(values, records, strict=True)
            cleaned = [_value(value, column, column_type, r.locator, intake) for value, r in pairs]
            columns[column] = _without_private_keys(pa.array(cleaned, column_type), column, records, intake)
    return columns


def _without_private_keys(array: pa.Array, column: str, records: list[Record], intake: _Intake) -> pa.Array:
    """The column with every text that looks like an armoured private key taken out: sources drop them, and here nothing slips by."""
    if not pa.types.is_string(array.type):
        return array
    armoured = pc.fill_null(pc.match_substring(array, "PRIVATE KEY-----"), False)
    for index in pc.indices_nonzero(armoured).to_pylist():
        intake.problems.append(Problem("private_key_withheld", records[index].locator, f"{column} held a private key; it was not stored"))
    return pc.if_else(armoured, pa.scalar(None, array.type), array)


def _value(value: Any, column: str, column_type: pa.DataType, locator: str, intake: _Intake) -> Any:
    """One value as the column takes it, else null and a problem."""
    if isinstance(value, str):
        value = _clean(value)
    elif isinstance(value, list | tuple):
        value = [_clean(v) if isinstance(v, str) else v for v in value]
    try:
        pa.array([value], column_type)
    except (pa.ArrowException, UnicodeError, OverflowError, TypeError, ValueError):
        intake.problems.append(Problem("attribute_invalid", locator, f"{column}: a {type(value).__name__} is no {column_type}"))
        return None
    return value


def _coverage(intake: _Intake) -> Coverage:
    """The source's own, with what turned out to be unreadable moved from fetched to refused."""
    if intake.coverage is None:
        intake.problems.append(Problem("coverage_missing", None, "the source ended without saying what it covered"))
        fetched = sum(map(len, intake.rows.values()))
        return Coverage(None, fetched, intake.unreadable, truncated=True)
    coverage = intake.coverage
    return replace(coverage, fetched=max(0, coverage.fetched - intake.unreadable), refused=coverage.refused + intake.unreadable)


def _stations(station: str, source: str, as_of: datetime, coverage: Coverage) -> pa.Table:
    short = coverage.expected is not None and coverage.fetched + coverage.refused < coverage.expected
    row = {
        "asset_id": station, "station": station, "locator": station, "observed_at": as_of, "kind": source, "last_success_at": as_of,
        "expected_count": coverage.expected, "collected_count": coverage.fetched, "refused_count": coverage.refused,
        "is_listing_complete": not (coverage.truncated or short),
    }  # fmt: skip
    return pa.Table.from_pylist([row], tables()["stations"].stored())
