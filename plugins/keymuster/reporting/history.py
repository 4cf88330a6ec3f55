"""Findings over time: from the ledger where there is one, else from the audits in the store."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING

import pyarrow.compute as pc

from keymuster.report_context import SEVERITIES, TrendPoint
from keymuster.results import AuditResult

if TYPE_CHECKING:
    from keymuster.reporting.building import Audits, History

DEPTH = 30
"""Earlier audits that a report looks back on."""


def earlier(store: Audits, after: AuditResult) -> tuple[AuditResult, ...]:
    """Audits of the same estate with an older as_of, newest first, at most DEPTH; of one as_of the last one written."""
    found: dict[datetime, AuditResult] = {}
    for uri in reversed(store.audits(after.manifest.estate)):
        if len(found) == DEPTH:
            break
        result = store.get_audit(uri)
        if result.manifest.as_of < after.manifest.as_of:
            found.setdefault(result.manifest.as_of, result)
    return tuple(found.values())


def first_seen(ledger: History | None, after: AuditResult, before: Sequence[AuditResult]) -> Mapping[str, datetime]:
    """When each finding was first seen; without a ledger the oldest of the audits looked back on that has it."""
    keys = after.findings["key"].to_pylist()
    seen = dict.fromkeys(keys, after.manifest.as_of)
    if ledger is not None:
        return seen | dict(ledger.first_seen(keys))
    for result in before:
        seen |= dict.fromkeys(seen.keys() & set(result.findings["key"].to_pylist()), result.manifest.as_of)
    return seen


def trend(ledger: History | None, after: AuditResult, before: Sequence[AuditResult], counts: Mapping[str, int]) -> tuple[TrendPoint, ...]:
    """Findings by severity at each audit up to this one, oldest first."""
    as_of = after.manifest.as_of
    points = {point.as_of: dict(point.counts) for point in (ledger.history(after.manifest.estate) if ledger else ())}
    points = {when: numbers for when, numbers in points.items() if when < as_of} or {r.manifest.as_of: _counts(r) for r in before}
    points[as_of] = dict(counts)
    ordered = sorted(points.items())[-DEPTH - 1 :]
    return tuple(TrendPoint(when, {s: numbers.get(s, 0) for s in SEVERITIES}) for when, numbers in ordered)


def _counts(result: AuditResult) -> dict[str, int]:
    fails = result.findings.filter(pc.equal(result.findings["outcome"], "fail"))
    return {row["values"].as_py(): row["counts"].as_py() for row in fails["severity"].value_counts()}
