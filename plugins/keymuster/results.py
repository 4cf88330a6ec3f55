"""What one audit leaves behind, on disk: written once below `<store>/audits/<estate>/<as_of>-<key>/`, never changed.

manifest.json       AuditManifest
findings.parquet    FINDINGS   one row per (rule, asset) that fails or is waived
unknowns.parquet    UNKNOWNS   why verdicts are unknown: counted, not listed
outcomes.parquet    OUTCOMES   assets by rule, station and outcome; station '' counts each asset once over all stations
controls.parquet    CONTROLS   frameworks scored per requirement
assets.parquet      ASSETS     the inventory in brief, one row per asset
validations/*.json  what Great Expectations said, one file a table
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any

import pyarrow as pa

from keymuster.model import SnapshotRef

_text, _texts, _count, _time = pa.string(), pa.list_(pa.string()), pa.int64(), pa.timestamp("us", tz="UTC")

FINDINGS = pa.schema([
    ("key", _text), ("rule_id", _text), ("code", _text), ("title", _text), ("table", _text), ("asset_id", _text),
    ("label", _text),          # for people: subject, path, host:port; hostile text, escape it
    ("outcome", _text), ("severity", _text), ("owner", _text), ("environment", _text),
    ("stations", _texts), ("locators", _texts),      # locators: 'station:locator', sorted, at most 100
    ("places", _count), ("snapshot_uri", _text), ("observed", _text), ("expected", _text),
    ("waiver", _text), ("unverified", pa.bool_()),
])  # fmt: skip
UNKNOWNS = pa.schema([("rule_id", _text), ("station", _text), ("reason", _text), ("assets", _count)])
OUTCOMES = pa.schema([("rule_id", _text), ("station", _text), ("outcome", _text), ("assets", _count)])
CONTROLS = pa.schema([
    ("framework", _text), ("framework_name", _text), ("requirement", _text), ("title", _text), ("status", _text),
    ("passed", _count), ("failed", _count), ("waived", _count), ("unknown", _count), ("denominator", _count),
    ("not_evaluated", _texts),     # rule ids without any verdict, with the reason after ': '
    ("rules", _texts), ("manual", _text), ("unverified", pa.bool_()),
])  # fmt: skip
"""status: met, failed, unknown, no_evidence, manual. denominator = passed + failed + waived + unknown, of rule-asset verdicts."""
ASSETS = pa.schema([
    ("table", _text), ("asset_id", _text), ("label", _text), ("owner", _text), ("environment", _text), ("stations", _texts),
    ("places", _count), ("not_after", _time), ("is_deployed", pa.bool_()), ("key_algorithm", _text), ("key_bits", _count),
    ("issuer", _text), ("worst", _text),   # worst severity among its failures, null if none
    ("unknown_rules", _texts),     # rules whose verdict on it is unknown: the delta must not take those for resolved
])  # fmt: skip


@dataclass(frozen=True, slots=True)
class StationStatus:
    """What the audit had from one station."""

    station: str
    source: str
    owner: str | None
    state: str
    """`current`, `stale` (the last attempt failed or was quarantined, an older snapshot serves) or `absent` (nothing to judge)."""
    reason: str
    """Empty for `current`; else for people: why, e.g. 'unreachable: connection refused'."""
    snapshot: SnapshotRef | None
    age_days: float | None
    problems: Mapping[str, int] = field(default_factory=dict)
    """Problems of the snapshot by code."""
    validation: Mapping[str, Any] | None = None
    """Summary of the gate's verdict on the newest attempt: {success, failed: [expectation in words], uri}."""

    @property
    def complete(self) -> bool:
        """Whether an asset's absence from this station proves that it is gone."""
        return self.state == "current" and self.snapshot is not None and self.snapshot.complete


@dataclass(frozen=True, slots=True)
class AuditManifest:
    """One audit: its inputs, its denominators."""

    key: str
    """sha256 over snapshot digests, rule-set digest, policy digest and as_of."""
    estate: str
    as_of: datetime
    kind: str
    """`live`, `backfill` or `what_if`; only live audits move the ledger and tickets."""
    ruleset_sha256: str
    policy_sha256: str
    stations: tuple[StationStatus, ...]
    rules: Mapping[str, Mapping[str, Any]]
    """rule id -> {code, title, table, severity, unverified, why, remediation, citation}."""
    not_evaluated: Mapping[str, str]
    """rule id -> reason why it has no verdict on any asset."""
    rows: Mapping[str, int]
    """Rows judged, by table."""
    assets: Mapping[str, int]
    """Distinct assets, by table."""
    outcomes: Mapping[str, int]
    """Rule-asset verdicts by outcome."""
    versions: Mapping[str, str]
    """keymuster and the packages that parsed and judged."""
    reference: Mapping[str, str] = field(default_factory=dict)
    """Reference data by name -> 'date sha256'."""
    facts_unknown: Mapping[str, str] = field(default_factory=dict)
    """table.column -> reason why the fact was unknown for every row."""

    def as_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        stations = [{**asdict(s), "snapshot": s.snapshot and s.snapshot.as_json()} for s in self.stations]
        return {**asdict(self), "as_of": self.as_of.isoformat(), "stations": stations}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> AuditManifest:
        """Inverse of `as_json`."""
        stations = tuple(
            StationStatus(**{**s, "snapshot": SnapshotRef.from_json(s["snapshot"]) if s["snapshot"] else None}) for s in value["stations"]
        )
        return cls(**{**value, "as_of": datetime.fromisoformat(value["as_of"]), "stations": stations})


@dataclass(frozen=True)
class AuditResult:
    """An audit as read back."""

    uri: str
    manifest: AuditManifest
    findings: pa.Table
    unknowns: pa.Table
    outcomes: pa.Table
    controls: pa.Table
    assets: pa.Table
