"""Snapshots, what they were parsed from, and audits, below one address. Everything is written once and committed by its manifest.

    snapshots/<station>/<as_of>-<digest>/   <table>.parquet  problems.parquet  manifest.json (written last: without it there is no snapshot)
                                            verdict.json (the gate spoke: accepted or quarantined)
    refusals/<station>/<as_of>-<digest>.json  a pull that failed as a whole
    ders/<sha256>.parquet                   certificates and public keys by fingerprint, each once
    parsed/<version>/<sha256>.parquet       their columns, so that what was parsed once is not parsed again
    facts/<kind>/<version>/<sha256>.parquet what audits worked out of them, likewise (see `store_memory`); may be removed at any time
    audits/<estate>/<as_of>-<key>/          see `results`
    work/<name>                             what a running audit passes between its steps
    tmp/                                    unfinished files; never read

Addresses of snapshots and audits (`uri`) are relative to the store, so that a store can be moved or mirrored.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import upath

from keymuster.errors import ConfigurationError, Corrupt, NoEvidence
from keymuster.model import Coverage, Problem, SnapshotRef
from keymuster.results import ASSETS, CONTROLS, FINDINGS, OUTCOMES, UNKNOWNS, AuditManifest, AuditResult
from keymuster.schema import tables as vocabulary
from keymuster.store_files import files_at
from keymuster.store_memory import FactMemory
from keymuster.store_packs import Packs, decode, encode
from keymuster.x509 import PARSER_VERSION
from keymuster.x509 import SCHEMA as PARSED

_MANIFEST, _VERDICT, _DIGESTS, _PROBLEMS = "manifest.json", "verdict.json", "digests.json", "problems"
_DERS = pa.schema([("fingerprint", pa.string()), ("der", pa.binary())])
_PROBLEM_ROWS = pa.schema([("code", pa.string()), ("locator", pa.string()), ("detail", pa.string())])
_AUDIT_TABLES = {"findings": FINDINGS, "unknowns": UNKNOWNS, "outcomes": OUTCOMES, "controls": CONTROLS, "assets": ASSETS}
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._:+-]{0,199}")


@dataclass(frozen=True)
class Snapshot:
    """A snapshot as read back."""

    ref: SnapshotRef
    source: str
    delivers: Mapping[str, frozenset[str]]
    """Table -> columns that are known for its rows."""
    problems: tuple[Problem, ...]
    tables: Mapping[str, pa.Table]
    """Columns as `schema.Table.stored()`, sorted by locator."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """A pull that failed as a whole."""

    station: str
    source: str
    as_of: datetime
    code: str
    detail: str


class Store:
    """A folder, or any fsspec address such as s3://bucket/prefix with credentials in `storage_options`.

    Raises StoreUnavailable (no space, no rights, no network) and Corrupt (stored bytes are damaged), both with the file's address.
    """

    def __init__(self, root: str | Path | upath.UPath, storage_options: Mapping[str, Any] | None = None) -> None:
        self.files = files_at(root, storage_options)
        columns = hashlib.sha256(" ".join(f"{f.name}:{f.type}" for f in PARSED).encode()).hexdigest()[:8]
        self._ders = Packs(self.files, "ders", "fingerprint")
        self._parsed = Packs(self.files, f"parsed/{PARSER_VERSION}-{columns}", "asset_id")
        self._refs: dict[str, SnapshotRef] = {}
        self.memory = FactMemory(self.files)
        """What audits worked out, for those that come later."""

    def address(self, uri: str) -> str:
        """Absolute address of a snapshot or an audit, for people."""
        return self.files.address(uri)

    # snapshots

    def write_snapshot(  # noqa: PLR0917 (the parts of a snapshot, in the order in which `normalise` gives them)
        self,
        station: str,
        source: str,
        as_of: datetime,
        tables: Mapping[str, pa.Table],
        problems: Sequence[Problem],
        coverage: Coverage,
        delivers: Mapping[str, Iterable[str]],
        ders: Mapping[str, bytes],
    ) -> SnapshotRef:
        """Write one snapshot; the same inputs give the same bytes, the same digest and the same address. Its state is `pending`."""
        rows = [{"code": p.code, "locator": p.locator, "detail": p.detail} for p in problems]
        order = [("code", "ascending"), ("locator", "ascending"), ("detail", "ascending")]
        files = {name: encode(_ordered(name, table)) for name, table in sorted(tables.items())}
        files[_PROBLEMS] = encode(pa.Table.from_pylist(rows, _PROBLEM_ROWS).sort_by(order))
        content = {
            "format": 1, "station": station, "source": source, "as_of": _utc(as_of).isoformat(),
            "rows": {name: table.num_rows for name, table in sorted(tables.items())}, "problems": len(problems),
            "coverage": {"expected": coverage.expected, "fetched": coverage.fetched, "refused": coverage.refused,
                         "truncated": coverage.truncated},
            "delivers": {name: sorted(columns) for name, columns in sorted(delivers.items())},
            "files": {name: hashlib.sha256(data).hexdigest() for name, data in files.items()},
        }  # fmt: skip
        digest = hashlib.sha256(_json(content)).hexdigest()
        uri = f"snapshots/{_name(station)}/{_stamp(as_of)}-{digest[:16]}"
        if self.files.get(f"{uri}/{_MANIFEST}") is None:
            self._keep(ders)
            for name, data in files.items():
                self.files.put(f"{uri}/{name}.parquet", data)
            self.files.put(f"{uri}/{_MANIFEST}", _json({**content, "sha256": digest}))
        return self._ref(uri)

    def read_snapshot(self, ref: SnapshotRef | str) -> Snapshot:
        """Read one snapshot; every byte is checked against its digest."""
        uri = ref if isinstance(ref, str) else ref.uri
        manifest = self._manifest(uri)
        if isinstance(ref, SnapshotRef) and ref.sha256 != manifest["sha256"]:
            raise Corrupt(f"{self.address(uri)}/{_MANIFEST}: its digest is {manifest['sha256']}, but {ref.sha256} was expected")
        read = {name: self._table(f"{uri}/{name}.parquet", digest) for name, digest in manifest["files"].items()}
        problems = tuple(Problem(**row) for row in read.pop(_PROBLEMS).to_pylist())
        known = {name: _conformed(name, table) for name, table in read.items() if name in vocabulary()}
        delivers = {name: frozenset(columns) for name, columns in manifest["delivers"].items()}
        return Snapshot(self._ref(uri), manifest["source"], delivers, problems, known)

    def settle(self, ref: SnapshotRef, accepted: bool, validation: Mapping[str, Any]) -> None:
        """Say what the gate found: accepted, or quarantined. The newest word counts."""
        self.files.put(f"{ref.uri}/{_VERDICT}", _json({"accepted": accepted, "validation": validation}))

    def validation_of(self, ref: SnapshotRef) -> Mapping[str, Any] | None:
        """What the gate found; None while it has not spoken."""
        verdict = self._json(f"{ref.uri}/{_VERDICT}")
        return None if verdict is None else dict(verdict["validation"])

    def state(self, ref: SnapshotRef) -> str:
        """`pending`, `accepted` or `quarantined`."""
        verdict = self._json(f"{ref.uri}/{_VERDICT}")
        return "pending" if verdict is None else "accepted" if verdict["accepted"] else "quarantined"

    def snapshots(self, station: str | None = None) -> list[SnapshotRef]:
        """All snapshots, or those of one station, oldest first; at the same instant the better covered one comes last."""
        folder = "snapshots" if station is None else f"snapshots/{_name(station)}"
        manifests = [n for n in self.files.find(folder) if n.endswith(f"/{_MANIFEST}")]
        return sorted((self._ref(n.rpartition("/")[0]) for n in manifests), key=lambda r: (r.as_of, r.complete, r.rows, r.sha256))

    def last_good(self, station: str, as_of: datetime) -> SnapshotRef | None:
        """Newest accepted snapshot of a station at or before `as_of`."""
        candidates = (r for r in reversed(self.snapshots(station)) if r.as_of <= as_of)
        return next((r for r in candidates if self.state(r) == "accepted"), None)

    def refuse(self, station: str, source: str, as_of: datetime, code: str, detail: str) -> None:
        """Note that a pull failed as a whole, and why."""
        note = _json({"station": station, "source": source, "as_of": _utc(as_of).isoformat(), "code": code, "detail": detail})
        self.files.put(f"refusals/{_name(station)}/{_stamp(as_of)}-{hashlib.sha256(note).hexdigest()[:16]}.json", note)

    def last_refusal(self, station: str, as_of: datetime) -> Refusal | None:
        """Newest failed pull of a station at or before `as_of`."""
        limit = _stamp(as_of)
        names = [n for n in self.files.find(f"refusals/{_name(station)}") if n.endswith(".json")]
        for name in reversed(names):
            if name.rpartition("/")[2].partition("-")[0] <= limit and (note := self._json(name)) is not None:
                return Refusal(**{**note, "as_of": datetime.fromisoformat(note["as_of"])})
        return None

    # what is kept once

    def ders(self, fingerprints: Iterable[str]) -> dict[str, bytes]:
        """DER of certificates by fingerprint and of public keys by spki_sha256; what was never kept is left out."""
        rows = self._ders.rows(fingerprints, _DERS)
        found = dict(zip(rows["fingerprint"].to_pylist(), rows["der"].to_pylist(), strict=True))
        for fingerprint, der in found.items():
            if hashlib.sha256(der).hexdigest() != fingerprint:
                raise Corrupt(f"{self.address('ders')}: the DER kept as {fingerprint} has another digest; restore the folder from a backup")
        return found

    def parsed(self, fingerprints: Iterable[str]) -> pa.Table:
        """Columns of the certificates that this version of the parser has met before; columns as `x509.SCHEMA`."""
        return self._parsed.rows(fingerprints, PARSED)

    def remember(self, rows: pa.Table) -> None:
        """Keep parsed columns."""
        self._parsed.add(rows)

    # audits

    def put_audit(self, folder_name: str, files: Mapping[str, bytes]) -> str:
        """Write an audit, once: if there is one at `folder_name` (<estate>/<as_of>-<key>), it stays. Returns its uri."""
        uri = "audits/" + "/".join(_name(part) for part in folder_name.split("/"))
        if _MANIFEST not in files:
            raise ValueError(f"an audit without {_MANIFEST}")
        if self.files.get(f"{uri}/{_MANIFEST}") is None:
            for name in sorted(files.keys() - {_MANIFEST}):
                self.files.put(f"{uri}/{name}", files[name])
            digests = {name: hashlib.sha256(data).hexdigest() for name, data in sorted(files.items())}
            self.files.put(f"{uri}/{_DIGESTS}", _json(digests))
            self.files.put(f"{uri}/{_MANIFEST}", files[_MANIFEST])
        return uri

    def get_audit(self, uri: str) -> AuditResult:
        """Read an audit; every byte is checked against its digest. NoEvidence if there is none."""
        raw = self.files.get(f"{uri}/{_MANIFEST}")
        if raw is None:
            raise NoEvidence(f"{self.address(uri)}: there is no audit")
        digests = self._json(f"{uri}/{_DIGESTS}") or {}
        self._check(f"{uri}/{_MANIFEST}", raw, digests.get(_MANIFEST))
        try:
            manifest = AuditManifest.from_json(json.loads(raw))
        except (ValueError, KeyError, TypeError) as error:
            raise Corrupt(f"{self.address(uri)}/{_MANIFEST}: is not the manifest of an audit ({error})") from error
        read = {n: self._table(f"{uri}/{n}.parquet", digests.get(f"{n}.parquet")).cast(schema) for n, schema in _AUDIT_TABLES.items()}
        return AuditResult(uri, manifest, **read)

    def audits(self, estate: str) -> list[str]:
        """Addresses of an estate's audits, oldest as_of first (their folders begin with it)."""
        return [n.rpartition("/")[0] for n in self.files.find(f"audits/{_name(estate)}") if n.endswith(f"/{_MANIFEST}")]

    # work in progress

    def put_work(self, name: str, data: bytes) -> None:
        """Keep what one step of an audit passes to the next."""
        self.files.put(f"work/{name}", data)

    def get_work(self, name: str) -> bytes:
        """What `put_work` kept. NoEvidence if there is none."""
        data = self.files.get(f"work/{name}")
        if data is None:
            raise NoEvidence(f"{self.address(f'work/{name}')}: not there; run the audit from its first step")
        return data

    def drop_work(self, prefix: str) -> None:
        """Forget what was kept below a prefix."""
        self.files.drop(f"work/{prefix}")

    # inner rooms

    def _keep(self, ders: Mapping[str, bytes]) -> None:
        self._ders.add(pa.table([list(ders), list(ders.values())], schema=_DERS))

    def _ref(self, uri: str) -> SnapshotRef:
        if uri not in self._refs:
            manifest = self._manifest(uri)
            self._refs[uri] = SnapshotRef(
                uri=uri, station=manifest["station"], as_of=datetime.fromisoformat(manifest["as_of"]), rows=sum(manifest["rows"].values()),
                sha256=manifest["sha256"], coverage=Coverage(**manifest["coverage"]), problems=manifest["problems"],
            )  # fmt: skip
        return self._refs[uri]

    def _manifest(self, uri: str) -> dict[str, Any]:
        manifest = self._json(f"{uri}/{_MANIFEST}")
        if manifest is None:
            raise NoEvidence(f"{self.address(uri)}: there is no snapshot")
        content = {key: value for key, value in manifest.items() if key != "sha256"}
        if hashlib.sha256(_json(content)).hexdigest() != manifest.get("sha256"):
            raise Corrupt(
                f"{self.address(uri)}/{_MANIFEST}: does not match its own digest; restore the folder, or remove it and collect again"
            )
        return manifest

    def _json(self, name: str) -> dict[str, Any] | None:
        raw = self.files.get(name)
        if raw is None:
            return None
        try:
            value = json.loads(raw)
        except ValueError as error:
            raise Corrupt(f"{self.address(name)}: is not JSON ({error}); restore it, or remove its folder and run again") from error
        if not isinstance(value, dict):
            raise Corrupt(f"{self.address(name)}: holds a {type(value).__name__} instead of an object")
        return value

    def _table(self, name: str, digest: str | None) -> pa.Table:
        raw = self.files.get(name)
        if raw is None:
            raise Corrupt(f"{self.address(name)}: is missing; restore it, or remove its folder and run again")
        self._check(name, raw, digest)
        return decode(raw, self.address(name))

    def _check(self, name: str, raw: bytes, digest: str | None) -> None:
        found = hashlib.sha256(raw).hexdigest()
        if found != digest:
            advice = "restore it from a backup, or remove its folder and run again"
            raise Corrupt(f"{self.address(name)}: its bytes have the digest {found}, the manifest says {digest}; {advice}")


def _ordered(name: str, table: pa.Table) -> pa.Table:
    if name not in vocabulary():
        raise ValueError(f"the vocabulary has no table {name!r}")
    schema = vocabulary()[name].stored()
    return table.select(schema.names).cast(schema).sort_by([("locator", "ascending"), ("asset_id", "ascending")])


def _conformed(name: str, table: pa.Table) -> pa.Table:
    """A table of an older vocabulary as today's: columns that have come since are null (and not delivered), others are dropped."""
    schema = vocabulary()[name].stored()
    if table.schema.equals(schema):
        return table
    columns = [table[f.name].cast(f.type) if f.name in table.column_names else pa.nulls(table.num_rows, f.type) for f in schema]
    return pa.table(columns, schema=schema)


def _json(value: Mapping[str, Any]) -> bytes:
    return json.dumps(value, sort_keys=True, ensure_ascii=False, indent=1, default=str).encode("utf-8", "backslashreplace")


def _name(text: str) -> str:
    if not _NAME.fullmatch(text):
        raise ConfigurationError(f"{text!r} cannot be the name of a station, an estate or an audit: letters, digits and . _ : + - only")
    return text


def _utc(as_of: datetime) -> datetime:
    if as_of.tzinfo is None:
        raise ValueError("as_of needs a time zone")
    return as_of.astimezone(UTC)


def _stamp(as_of: datetime) -> str:
    """Name part that sorts by instant."""
    return _utc(as_of).strftime("%Y%m%dT%H%M%S%fZ")
