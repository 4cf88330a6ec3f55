"""The words of keymuster: small frozen values that travel between its rooms.

Bulk data never comes in these; it stays in columns (see `schema`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from enum import IntEnum, StrEnum
from typing import Any


class Outcome(StrEnum):
    """What one rule says of one asset."""

    PASS = "pass"  # noqa: S105 (an outcome, not a password)
    FAIL = "fail"
    UNKNOWN = "unknown"
    """A value that the rule needs is missing; never counted as a pass."""
    NOT_APPLICABLE = "not_applicable"
    NOT_EFFECTIVE = "not_effective"
    """The asset is older than the rule's first effective date."""
    WAIVED = "waived"
    """It fails, and a waiver in force covers it."""


class Severity(IntEnum):
    """How bad a failure is; ordered, so that a threshold is a comparison."""

    INFO = 0
    LOW = 1
    MEDIUM = 2
    HIGH = 3
    CRITICAL = 4

    @property
    def label(self) -> str:
        """Lower-case name, as in rules and reports."""
        return self.name.lower()

    @classmethod
    def of(cls, text: str) -> Severity:
        """Read the lower-case name; ValueError lists the names there are."""
        try:
            return cls[text.upper()]
        except KeyError:
            names = ", ".join(s.label for s in cls)
            raise ValueError(f"no severity named {text!r}; there are {names}") from None


@dataclass(frozen=True, slots=True)
class Record:
    """One thing as a source saw it. Never holds a private key."""

    table: str
    """A table of the vocabulary, e.g. `certificates`."""
    locator: str
    """Place inside the station; unique per station and table."""
    der: bytes | None = None
    """certificates, authorities: the certificate. keys, ssh_keys: the SubjectPublicKeyInfo. revocation_services: the CRL."""
    attributes: Mapping[str, Any] = field(default_factory=dict)
    """Columns of origin `source` by name (plain Python values, aware UTC datetimes); a column that is left out is null."""


@dataclass(frozen=True, slots=True)
class Problem:
    """Something that could not be read; the rest went on."""

    code: str
    """Stable snake_case code, e.g. `certificate_unparsable`; promised in the CHANGELOG."""
    locator: str | None
    """Where; None means that the listing itself fell short, so absence proves nothing."""
    detail: str
    """For a person: what happened. Holds no secret and no DER."""


@dataclass(frozen=True, slots=True)
class Coverage:
    """What a station knows about its own completeness. A source yields exactly one, last."""

    expected: int | None
    """Items that the source announced; None where it announces none."""
    fetched: int
    """Items read."""
    refused: int = 0
    """Items known to exist that were denied, silent or unreadable."""
    truncated: bool = False
    """The listing was cut: a cap, a page that failed, a filter that hides."""

    @property
    def complete(self) -> bool:
        """Whether the absence of an asset proves that it is gone."""
        short = self.expected is not None and self.fetched + self.refused < self.expected
        return not (self.truncated or self.refused or short)


@dataclass(frozen=True, slots=True)
class SnapshotRef:
    """Address of one snapshot; small enough for an XCom."""

    uri: str
    station: str
    as_of: datetime
    rows: int
    sha256: str
    """Digest of the content: same inputs, same digest."""
    coverage: Coverage
    problems: int

    @property
    def complete(self) -> bool:
        """Whether absence from this snapshot proves anything."""
        return self.coverage.complete

    def as_json(self) -> dict[str, Any]:
        """Plain JSON values, for XCom and manifests."""
        return {**asdict(self), "as_of": self.as_of.isoformat()}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> SnapshotRef:
        """Inverse of `as_json`."""
        return cls(**{**value, "as_of": datetime.fromisoformat(value["as_of"]), "coverage": Coverage(**value["coverage"])})


@dataclass(frozen=True, slots=True)
class Evidence:
    """Why a finding is a finding."""

    snapshot_uri: str
    observed: str
    """The values that failed, `column=value` joined by `; `, bounded in length."""
    expected: str


def finding_key(rule_id: str, asset_id: str) -> str:
    """Identity of a finding: rule and asset only, never run, date, message or place. 32 hex digits."""
    return hashlib.sha256(f"{rule_id}\n{asset_id}".encode()).hexdigest()[:32]


@dataclass(frozen=True, slots=True)
class Finding:
    """One asset failing one rule, wherever it was seen."""

    rule_id: str
    asset_id: str
    locators: Sequence[str]
    """`station:locator` of the failing sightings, sorted."""
    outcome: Outcome
    severity: Severity
    owner: str | None
    evidence: Evidence

    @property
    def key(self) -> str:
        """See `finding_key`."""
        return finding_key(self.rule_id, self.asset_id)


@dataclass(frozen=True, slots=True)
class Delta:
    """What changed from one audit to the next, by finding key."""

    opened: tuple[str, ...]
    standing: tuple[str, ...]
    resolved: tuple[str, ...]
    unconfirmed: tuple[str, ...]
    """Gone from a snapshot that was incomplete, stale or missing: absence proves nothing."""
