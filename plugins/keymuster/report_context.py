"""What a report template, a renderer or the terminal may show of one audit. Everything is computed before; templates only place it.

All text that came from outside (labels, places, reasons) is raw here; the renderers make it harmless.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path

import pyarrow as pa

from keymuster.results import AuditResult, StationStatus

SEVERITIES = ("critical", "high", "medium", "low", "info")
"""Worst first, as reports show them."""


@dataclass(frozen=True, slots=True)
class ReportTemplate:
    """A folder below `reports/`: `report.yaml` and one `report.<suffix>.j2` per format that needs a template."""

    name: str
    title: str
    description: str
    audience: str
    folder: Path


@dataclass(frozen=True, slots=True)
class Totals:
    """The denominators of the whole audit."""

    stations: int
    stations_current: int
    stations_complete: int
    assets: int
    assets_failing: int
    rows: int
    rules: int
    rules_evaluated: int
    passed: int
    failed: int
    waived: int
    unknown: int
    not_applicable: int
    not_effective: int

    @property
    def verdicts(self) -> int:
        """Rule-asset verdicts that say something or should have: passed, failed, waived and unknown."""
        return self.passed + self.failed + self.waived + self.unknown


@dataclass(frozen=True, slots=True)
class Verdict:
    """The audit in a headline and a sentence that holds every denominator."""

    level: str
    """`no_evidence`, `failing`, `incomplete` (nothing fails, but not everything was judged) or `clean`."""
    headline: str
    sentence: str


@dataclass(frozen=True, slots=True)
class SeverityCount:
    """Findings of one severity."""

    severity: str
    findings: int
    opened: int
    resolved: int
    assets: int
    owners: int


@dataclass(frozen=True, slots=True)
class FindingRow:
    """One finding in full."""

    key: str
    rule_id: str
    code: str
    title: str
    table: str
    asset_id: str
    label: str
    outcome: str
    severity: str
    owner: str | None
    environment: str | None
    stations: tuple[str, ...]
    locators: tuple[str, ...]
    places: int
    snapshot_uri: str
    observed: str
    expected: str
    waiver: str | None
    unverified: bool
    change: str
    """`opened`, `standing`, or empty where there is no earlier audit."""
    first_seen: datetime | None


@dataclass(frozen=True, slots=True)
class RuleGroup:
    """All findings of one rule."""

    rule_id: str
    code: str
    title: str
    table: str
    severity: str
    """The worst among its findings."""
    usual: str
    """Severity that the rule states; findings can be more or less severe."""
    assets: int
    opened: int
    places: int
    passed: int
    waived: int
    unknown: int
    owners: tuple[tuple[str | None, int], ...]
    """Most findings first; None: nobody is known."""
    remediation: str
    citation: str
    citation_url: str | None
    unverified: bool
    why: str
    """Why it is marked unverified."""
    examples: tuple[FindingRow, ...]
    """Worst first, at most `ReportContext.shown` of them; the rest is counted and stands in the CSV file."""

    @property
    def verdicts(self) -> int:
        """Assets that the rule judged or should have."""
        return self.passed + self.assets + self.waived + self.unknown

    @property
    def hidden(self) -> int:
        """Findings that are not among the examples."""
        return self.assets - len(self.examples)


@dataclass(frozen=True, slots=True)
class OwnerGroup:
    """All findings of one owner."""

    owner: str | None
    counts: Mapping[str, int]
    findings: int
    assets: int
    rules: int
    opened: int


@dataclass(frozen=True, slots=True)
class RuleChange:
    """What moved under one rule."""

    rule_id: str
    title: str
    severity: str
    """The worst among what moved."""
    opened: int
    resolved: int
    unconfirmed: int


@dataclass(frozen=True, slots=True)
class Change:
    """What changed since the previous audit of the estate. All numbers are findings."""

    before_uri: str | None
    before_as_of: datetime | None
    """None: there is no earlier audit."""
    opened: int = 0
    standing: int = 0
    resolved: int = 0
    unconfirmed: int = 0
    worsened: int = 0
    """Standing findings whose severity rose."""
    eased: int = 0
    ruleset_changed: bool = False
    policy_changed: bool = False
    rules: tuple[RuleChange, ...] = ()
    opened_rows: tuple[FindingRow, ...] = ()
    resolved_rows: tuple[FindingRow, ...] = ()
    unconfirmed_rows: tuple[FindingRow, ...] = ()

    @property
    def nothing(self) -> bool:
        """Whether the audits agree."""
        return not (self.opened or self.resolved or self.unconfirmed or self.worsened or self.eased)


@dataclass(frozen=True, slots=True)
class TrendPoint:
    """Findings of one audit by severity."""

    as_of: datetime
    counts: Mapping[str, int]

    @property
    def total(self) -> int:
        """All findings."""
        return sum(self.counts.values())


@dataclass(frozen=True, slots=True)
class Period:
    """Assets that expire from `start` until before `end`."""

    label: str
    start: date
    end: date
    assets: int
    deployed: int


@dataclass(frozen=True, slots=True)
class OwnerExpiry:
    """One owner's row of the expiry calendar."""

    owner: str | None
    expired: int
    months: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Expiry:
    """When the assets that have an end reach it."""

    expired: int
    expired_deployed: int
    weeks: tuple[Period, ...]
    """53 weeks from as_of on."""
    months: tuple[Period, ...]
    """12 months from the month of as_of on; the first starts at as_of."""
    owners: tuple[OwnerExpiry, ...]
    later: int
    dated: int
    undated: int
    """Assets without a known end."""

    @property
    def within_year(self) -> int:
        """Assets that expire in the months shown."""
        return sum(m.assets for m in self.months)


@dataclass(frozen=True, slots=True)
class RequirementScore:
    """One requirement of a framework."""

    requirement: str
    title: str
    status: str
    """met, failed, unknown, no_evidence or manual."""
    passed: int
    failed: int
    waived: int
    unknown: int
    denominator: int
    rules: tuple[str, ...]
    not_evaluated: tuple[str, ...]
    manual: str | None
    unverified: bool


@dataclass(frozen=True, slots=True)
class FrameworkScore:
    """One framework: requirements by status, and the verdicts beneath."""

    framework: str
    name: str
    requirements: tuple[RequirementScore, ...]
    statuses: Mapping[str, int]
    passed: int
    failed: int
    waived: int
    unknown: int
    denominator: int
    """Rule-asset verdicts over all requirements; one verdict counts under each requirement that it serves."""

    @property
    def assessable(self) -> int:
        """Requirements that evidence could decide: all but the manual ones."""
        return len(self.requirements) - self.statuses["manual"]


@dataclass(frozen=True, slots=True)
class Gap:
    """Something that was not evaluated."""

    what: str
    title: str
    reason: str


@dataclass(frozen=True, slots=True)
class UnknownReason:
    """Why verdicts are unknown."""

    reason: str
    verdicts: int
    rules: tuple[str, ...]
    stations: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Gaps:
    """What was not evaluated, and why. Shown in every report."""

    rules: tuple[Gap, ...]
    stations: tuple[StationStatus, ...]
    """Those that are stale or absent."""
    short: tuple[StationStatus, ...]
    """Current, but not complete."""
    facts: tuple[Gap, ...]
    unknowns: tuple[UnknownReason, ...]
    unknown_total: int

    @property
    def nothing(self) -> bool:
        """Whether everything was evaluated."""
        return not (self.rules or self.stations or self.short or self.facts or self.unknown_total)


@dataclass(frozen=True)
class ReportContext:
    """Everything that a report can show of one audit."""

    result: AuditResult
    table: pa.Table
    """All findings: FINDINGS plus `change` and `first_seen`, worst first."""
    totals: Totals
    verdict: Verdict
    severities: tuple[SeverityCount, ...]
    change: Change
    worst: tuple[FindingRow, ...]
    rules: tuple[RuleGroup, ...]
    owners: tuple[OwnerGroup, ...]
    waived: tuple[FindingRow, ...]
    trend: tuple[TrendPoint, ...]
    expiry: Expiry
    frameworks: tuple[FrameworkScore, ...]
    stations: tuple[StationStatus, ...]
    gaps: Gaps
    shown: int
    """Most findings listed per rule; what is beyond is counted and stands in the CSV and JSON files."""

    @property
    def estate(self) -> str:
        """Name of the estate."""
        return self.result.manifest.estate

    @property
    def as_of(self) -> datetime:
        """The instant that was judged."""
        return self.result.manifest.as_of
