"""Frameworks: requirements by status, with numerator and denominator."""

from __future__ import annotations

from collections import Counter

import pyarrow as pa

from keymuster.report_context import FrameworkScore, RequirementScore

STATUSES = ("met", "failed", "unknown", "no_evidence", "manual")


def frameworks(controls: pa.Table) -> tuple[FrameworkScore, ...]:
    """One score per framework, in the order in which the audit wrote them."""
    groups: dict[tuple[str, str], list[RequirementScore]] = {}
    for row in controls.to_pylist():
        key = row.pop("framework"), row.pop("framework_name")
        lists = {name: tuple(row[name] or ()) for name in ("rules", "not_evaluated")}
        groups.setdefault(key, []).append(RequirementScore(**{**row, **lists}))
    return tuple(_score(framework, name, tuple(rows)) for (framework, name), rows in groups.items())


def _score(framework: str, name: str, rows: tuple[RequirementScore, ...]) -> FrameworkScore:
    counted = Counter(r.status for r in rows)
    return FrameworkScore(
        framework=framework,
        name=name,
        requirements=rows,
        statuses={status: counted[status] for status in STATUSES},
        passed=sum(r.passed for r in rows),
        failed=sum(r.failed for r in rows),
        waived=sum(r.waived for r in rows),
        unknown=sum(r.unknown for r in rows),
        denominator=sum(r.denominator for r in rows),
    )
