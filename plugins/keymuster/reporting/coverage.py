"""What was not evaluated, and why: rules, stations, facts and the reasons behind unknown verdicts."""

from __future__ import annotations

from collections.abc import Iterable

import pyarrow as pa

from keymuster.report_context import Gap, Gaps, UnknownReason
from keymuster.results import AuditManifest


def gaps(manifest: AuditManifest, unknowns: pa.Table) -> Gaps:
    """Collect all that a report must not keep to itself."""
    titles = {name: str(rule.get("title") or name) for name, rule in manifest.rules.items()}
    return Gaps(
        rules=tuple(Gap(rule, titles.get(rule, rule), reason) for rule, reason in sorted(manifest.not_evaluated.items())),
        stations=tuple(s for s in manifest.stations if s.state != "current"),
        short=tuple(s for s in manifest.stations if s.state == "current" and not s.complete),
        facts=tuple(Gap(fact, fact, reason) for fact, reason in sorted(manifest.facts_unknown.items())),
        unknowns=_reasons(unknowns),
        unknown_total=manifest.outcomes.get("unknown", 0),
    )


def _reasons(unknowns: pa.Table) -> tuple[UnknownReason, ...]:
    """Reasons with the most verdicts first. A verdict counts once at each station that saw its asset."""
    frame = unknowns.to_pandas()
    rows = [
        UnknownReason(str(reason), int(part["assets"].sum()), _names(part["rule_id"]), _names(part["station"]))
        for reason, part in frame.groupby("reason", dropna=False)
    ]
    return tuple(sorted(rows, key=lambda r: (-r.verdicts, r.reason)))


def _names(values: Iterable[object]) -> tuple[str, ...]:
    return tuple(sorted({str(v) for v in values if v}))
