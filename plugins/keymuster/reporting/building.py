"""Puts the parts of a report together."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Protocol

from keymuster.delta import compare
from keymuster.report_context import SEVERITIES, ReportContext, Totals, Verdict
from keymuster.reporting import change, coverage, expiry, findings, history, scores
from keymuster.results import AuditResult
from keymuster.text import plural, share

SHOWN = 50
"""Findings listed per rule in HTML; more make pages that nobody reads and browsers cannot print."""
WORST = 20


class Audits(Protocol):
    """What a report needs of the store."""

    def get_audit(self, uri: str) -> AuditResult:
        """Read one audit."""
        ...

    def audits(self, estate: str) -> Sequence[str]:
        """Addresses of all audits of an estate, oldest as_of first."""
        ...


class History(Protocol):
    """What a report needs of the ledger."""

    def history(self, estate: str) -> Iterable[Any]:
        """Past live audits: `as_of` and `counts` by severity."""
        ...

    def first_seen(self, keys: Iterable[str], estate: str | None = None) -> Mapping[str, datetime]:
        """When findings were first seen in an estate, by key."""
        ...


def build(store: Audits, ledger: History | None, uri: str, previous_uri: str | None = None, *, shown: int = SHOWN) -> ReportContext:
    """Read an audit and work out all that reports show of it.

    Without `previous_uri` the newest audit of the estate with an older as_of is compared with.
    Without a ledger, history comes from the store.
    """
    after = store.get_audit(uri)
    past = history.of_ledger(ledger, after)
    earlier = history.earlier(store, after, 1 if past else history.DEPTH)  # with a past in the ledger only to compare with
    before = store.get_audit(previous_uri) if previous_uri else next(iter(earlier), None)
    delta = compare(before, after)
    seen = history.first_seen(ledger, after, earlier)
    table = findings.with_change(after, delta, seen, compared=before is not None)
    index = findings.index(table)
    totals = _totals(after)
    changed = change.change(before, after, delta, table, shown)
    return ReportContext(
        result=after,
        table=table,
        totals=totals,
        verdict=_verdict(totals, findings.counts(index)),
        severities=findings.severities(index, changed, change.resolved_by_severity(before, delta)),
        change=changed,
        worst=findings.worst(table, index, WORST),
        rules=findings.by_rule(after, table, index, shown),
        owners=findings.by_owner(index),
        waived=findings.waived(table, index, shown),
        trend=history.trend(past, after, earlier, findings.counts(index)),
        expiry=expiry.calendar(after.assets, after.manifest.as_of),
        frameworks=scores.frameworks(after.controls),
        stations=after.manifest.stations,
        gaps=coverage.gaps(after.manifest, after.unknowns),
        shown=shown,
    )


def _totals(result: AuditResult) -> Totals:
    manifest, outcomes = result.manifest, result.manifest.outcomes
    return Totals(
        stations=len(manifest.stations),
        stations_current=sum(s.state == "current" for s in manifest.stations),
        stations_complete=sum(s.complete for s in manifest.stations),
        assets=sum(manifest.assets.values()),
        assets_failing=result.assets.num_rows - result.assets["worst"].null_count,
        rows=sum(manifest.rows.values()),
        rules=len(manifest.rules),
        rules_evaluated=len(manifest.rules.keys() - manifest.not_evaluated.keys()),
        passed=outcomes.get("pass", 0),
        failed=outcomes.get("fail", 0),
        waived=outcomes.get("waived", 0),
        unknown=outcomes.get("unknown", 0),
        not_applicable=outcomes.get("not_applicable", 0),
        not_effective=outcomes.get("not_effective", 0),
    )


def _verdict(totals: Totals, counts: Mapping[str, int]) -> Verdict:
    level = _level(totals)
    worst = [plural(counts[s], s, s) for s in SEVERITIES[:2] if counts.get(s)]
    headline = {
        "no_evidence": "No evidence",
        "failing": plural(totals.failed, "finding") + (f", {' and '.join(worst)}" if worst else ""),
        "incomplete": "No findings, but not everything was evaluated",
        "clean": "No findings, and everything was evaluated",
    }[level]
    return Verdict(level, headline, _sentence(level, totals))


def _level(totals: Totals) -> str:
    if totals.verdicts == 0:
        return "no_evidence"
    if totals.failed:
        return "failing"
    whole = totals.unknown == 0 and totals.rules_evaluated == totals.rules and totals.stations_complete == totals.stations
    return "clean" if whole else "incomplete"


def _sentence(level: str, totals: Totals) -> str:
    stations = f"{totals.stations_current:,} of {plural(totals.stations, 'station')} up to date, {totals.stations_complete:,} complete"
    rules = f"{totals.rules_evaluated:,} of {plural(totals.rules, 'rule')} evaluated"
    if level == "no_evidence":
        return f"Nothing could be judged, which is not a pass: {plural(totals.assets, 'asset')}, {rules}, {stations}."
    have = "has" if totals.assets_failing == 1 else "have"
    failing = f"{totals.assets_failing:,} of {plural(totals.assets, 'asset')} {have} findings. "
    passing = f"{totals.passed:,} pass ({share(totals.passed, totals.verdicts)})"
    return (
        f"{failing}Of {plural(totals.verdicts, 'verdict')}, {passing}, "
        f"{totals.failed:,} fail, {totals.waived:,} are waived and {totals.unknown:,} are unknown, which is not a pass; "
        f"{rules}; {stations}."
    )
