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


def earlier(store: Audits, after: AuditResult, depth: int = DEPTH) -> tuple[AuditResult, ...]:
    """Audits of the same estate with an older as_of, newest first, at most `depth`; of one as_of the last one in the store.

    What-ifs never happened, so nothing is compared with them.
    """
    found: dict[datetime, AuditResult] = {}
    for uri in _before(store.audits(after.manifest.estate), after.uri):
        if len(found) == depth:
            break
        result = store.get_audit(uri)
        if result.manifest.as_of < after.manifest.as_of and result.manifest.kind != "what_if":
            found.setdefault(result.manifest.as_of, result)
    return tuple(found.values())


def _before(uris: Sequence[str], uri: str) -> Sequence[str]:
    """Addresses before this one, newest first: the later ones need not be read."""
    return list(uris[: uris.index(uri)] if uri in uris else uris)[::-1]


def of_ledger(ledger: History | None, after: AuditResult) -> dict[datetime, dict[str, int]]:
    """Counts by severity of the live audits before this one, as the ledger knows them."""
    points = ledger.history(after.manifest.estate) if ledger else ()
    return {point.as_of: dict(point.counts) for point in points if point.as_of < after.manifest.as_of}


def first_seen(ledger: History | None, after: AuditResult, before: Sequence[AuditResult]) -> Mapping[str, datetime]:
    """When each finding was first seen; without a ledger the oldest of the audits looked back on that has it."""
    keys = after.findings["key"].to_pylist()
    seen = dict.fromkeys(keys, after.manifest.as_of)
    if ledger is not None:
        return seen | dict(ledger.first_seen(keys, after.manifest.estate))
    for result in before:
        seen |= dict.fromkeys(seen.keys() & set(result.findings["key"].to_pylist()), result.manifest.as_of)
    return seen


def trend(
    known: Mapping[datetime, Mapping[str, int]], after: AuditResult, before: Sequence[AuditResult], counts: Mapping[str, int]
) -> tuple[TrendPoint, ...]:
    """Findings by severity at each audit up to this one, oldest first: as the ledger knows them, else as the audits in the store say."""
    points = dict(known) or {r.manifest.as_of: _counts(r) for r in before}
    points[after.manifest.as_of] = counts
    ordered = sorted(points.items())[-DEPTH - 1 :]
    return tuple(TrendPoint(when, {s: numbers.get(s, 0) for s in SEVERITIES}) for when, numbers in ordered)


def _counts(result: AuditResult) -> dict[str, int]:
    fails = result.findings.filter(pc.equal(result.findings["outcome"], "fail"))
    return {row["values"].as_py(): row["counts"].as_py() for row in fails["severity"].value_counts()}
