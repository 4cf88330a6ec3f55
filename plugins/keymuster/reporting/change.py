"""What changed since the previous audit: the first thing that a report says."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from keymuster.model import Delta
from keymuster.report_context import SEVERITIES, Change, FindingRow, RuleChange
from keymuster.reporting import findings
from keymuster.results import AuditResult


def change(before: AuditResult | None, after: AuditResult, delta: Delta, table: pa.Table, shown: int) -> Change:
    """Compare two audits; without an earlier one nothing is called new."""
    if before is None:
        return Change(None, None)
    old, new = before.manifest, after.manifest
    index = findings.index(table)
    worsened, eased = _moved(before, index, delta.standing)
    opened = index.index[index["change"] == "opened"]
    return Change(
        before_uri=before.uri,
        before_as_of=old.as_of,
        opened=len(delta.opened),
        standing=len(delta.standing),
        resolved=len(delta.resolved),
        unconfirmed=len(delta.unconfirmed),
        worsened=worsened,
        eased=eased,
        ruleset_changed=old.ruleset_sha256 != new.ruleset_sha256,
        policy_changed=old.policy_sha256 != new.policy_sha256,
        rules=_by_rule(before, after, delta),
        opened_rows=findings.rows(table, opened[:shown]),
        resolved_rows=_gone(before, delta.resolved, shown),
        unconfirmed_rows=_gone(before, delta.unconfirmed, shown),
    )


def resolved_by_severity(before: AuditResult | None, delta: Delta) -> dict[str, int]:
    """Resolved findings by the severity that they had."""
    if before is None:
        return {}
    return dict(Counter(_pick(before.findings, delta.resolved)["severity"].to_pylist()))


def _pick(table: pa.Table, keys: Iterable[str]) -> pa.Table:
    return table.filter(pc.is_in(table["key"], value_set=pa.array(list(keys), pa.string())))


def _gone(before: AuditResult, keys: Iterable[str], shown: int) -> tuple[FindingRow, ...]:
    table = _pick(before.findings, keys)
    rank = pc.index_in(table["severity"], value_set=pa.array(SEVERITIES))
    order = pc.sort_indices(pa.table({"rank": rank, "label": table["label"]}), sort_keys=[("rank", "ascending"), ("label", "ascending")])
    return tuple(findings.finding(row) for row in table.take(order[:shown]).to_pylist())


def _moved(before: AuditResult, index: pd.DataFrame, standing: Iterable[str]) -> tuple[int, int]:
    ranks = {name: number for number, name in enumerate(SEVERITIES)}
    old = _pick(before.findings, standing).select(["key", "severity"]).to_pandas().set_index("key")["severity"].map(ranks).astype(float)
    new = index.set_index("key")["severity"].map(ranks).astype(float).reindex(old.index)
    return int((new < old).sum()), int((new > old).sum())


def _by_rule(before: AuditResult, after: AuditResult, delta: Delta) -> tuple[RuleChange, ...]:
    moved = {
        "opened": _pick(after.findings, delta.opened),
        "resolved": _pick(before.findings, delta.resolved),
        "unconfirmed": _pick(before.findings, delta.unconfirmed),
    }
    numbers = {kind: Counter(table["rule_id"].to_pylist()) for kind, table in moved.items()}
    frame = pa.concat_tables([table.select(["rule_id", "severity"]) for table in moved.values()]).to_pandas()
    ranks = frame["severity"].map({name: number for number, name in enumerate(SEVERITIES)})
    texts = {**before.manifest.rules, **after.manifest.rules}
    rows = [
        RuleChange(str(r), str(texts[str(r)]["title"]), SEVERITIES[int(worst)], *(numbers[kind][str(r)] for kind in moved))
        for r, worst in ranks.groupby(frame["rule_id"]).min().items()
    ]
    return tuple(sorted(rows, key=lambda r: (SEVERITIES.index(r.severity), -r.opened, -r.resolved, r.rule_id)))
