"""Findings by rule, by owner and by severity, computed on columns; only the rows that are shown become objects."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from keymuster.model import Delta, Outcome
from keymuster.report_context import SEVERITIES, Change, FindingRow, OwnerGroup, RuleGroup, SeverityCount
from keymuster.results import AuditResult

_RANKS = pa.array(SEVERITIES)
_INDEX = ["key", "rule_id", "asset_id", "outcome", "severity", "owner", "places", "change", "unverified"]


def with_change(result: AuditResult, delta: Delta, seen: Mapping[str, datetime], *, compared: bool) -> pa.Table:
    """FINDINGS plus `change` and `first_seen`, worst first, then by rule and label: the order of every format."""
    table = result.findings
    opened = pc.is_in(table["key"], value_set=pa.array(delta.opened, pa.string()))
    failing = pc.equal(table["outcome"], Outcome.FAIL.value)
    word = pc.if_else(opened, "opened", "standing") if compared else pa.scalar("")
    change = pc.if_else(failing, word, "") if table.num_rows else pa.array([], pa.string())
    first = pa.array([seen.get(key) for key in table["key"].to_pylist()], pa.timestamp("us", tz="UTC"))
    table = table.append_column("change", change).append_column("first_seen", first)
    keys = {"waived": pc.not_equal(table["outcome"], "fail"), "rank": pc.index_in(table["severity"], value_set=_RANKS)}
    order = pa.table({**keys, **{name: table[name] for name in ("unverified", "rule_id", "label", "key")}})
    return table.take(pc.sort_indices(order, sort_keys=[(name, "ascending") for name in order.column_names]))


def index(table: pa.Table) -> pd.DataFrame:
    """The columns that groupings need; the row number is the position in `table`."""
    return table.select(_INDEX).to_pandas()


def failing(frame: pd.DataFrame) -> pd.DataFrame:
    """Rows that fail; waived ones are counted apart."""
    return frame[frame["outcome"] == Outcome.FAIL.value]


def counts(frame: pd.DataFrame) -> dict[str, int]:
    """Findings by severity."""
    return {str(k): int(v) for k, v in failing(frame)["severity"].value_counts().items()}


def severities(frame: pd.DataFrame, change: Change, resolved: Mapping[str, int]) -> tuple[SeverityCount, ...]:
    """One count per severity, worst first, zeros included."""
    fails = failing(frame)
    rows = []
    for name in SEVERITIES:
        part = fails[fails["severity"] == name]
        opened = int((part["change"] == "opened").sum()) if change.before_as_of else 0
        rows.append(SeverityCount(name, len(part), opened, resolved.get(name, 0), part["asset_id"].nunique(), part["owner"].nunique()))
    return tuple(rows)


def worst(table: pa.Table, frame: pd.DataFrame, limit: int) -> tuple[FindingRow, ...]:
    """The worst findings: by severity, each rule's first before any rule's second.

    Verified rules come before unverified ones; of one rule those new first, then those in most places.
    """
    fails = failing(frame)
    order = fails.assign(rank=_rank(fails["severity"]), old=fails["change"] != "opened", spread=-fails["places"])
    order = order.sort_values(["rank", "old", "spread"], kind="stable")
    order = order.assign(nth=order.groupby("rule_id").cumcount()).sort_values(["rank", "nth", "unverified", "old", "spread"], kind="stable")
    return rows(table, order.head(limit).index)


def waived(table: pa.Table, frame: pd.DataFrame, limit: int) -> tuple[FindingRow, ...]:
    """Failures that a waiver covers."""
    return rows(table, frame.index[frame["outcome"] == Outcome.WAIVED.value][:limit])


def by_rule(result: AuditResult, table: pa.Table, frame: pd.DataFrame, shown: int) -> tuple[RuleGroup, ...]:
    """Rules with findings: the worst first.

    At one severity those come first that always are that severe, then those that are verified, then those with most assets.
    """
    fails = failing(frame)
    verdicts = _verdicts(result.outcomes)
    sampled = fails.groupby("rule_id").head(shown)
    examples = dict(zip(sampled["key"], rows(table, sampled.index), strict=True))
    groups = []
    for rule_id, part in fails.groupby("rule_id"):
        name, shown_rows = str(rule_id), tuple(examples[key] for key in part["key"].head(shown))
        groups.append(_rule(name, part, result.manifest.rules.get(name, {}), verdicts.get(name, {}), shown_rows))
    return tuple(sorted(groups, key=_order))


def _order(group: RuleGroup) -> tuple[int, int, bool, int, str]:
    return SEVERITIES.index(group.severity), SEVERITIES.index(group.usual), group.unverified, -group.assets, group.rule_id


def _rule(
    rule_id: str, part: pd.DataFrame, rule: Mapping[str, Any], verdicts: Mapping[str, int], examples: tuple[FindingRow, ...]
) -> RuleGroup:
    document, url = citation(rule.get("citation"))
    owners = part["owner"].value_counts(dropna=False)
    usual = str(rule.get("severity"))
    return RuleGroup(
        rule_id=rule_id,
        code=str(rule.get("code") or ""),
        title=str(rule.get("title") or rule_id),
        table=str(rule.get("table") or ""),
        severity=SEVERITIES[int(_rank(part["severity"]).min())],
        usual=usual if usual in SEVERITIES else SEVERITIES[-1],
        assets=len(part),
        opened=int((part["change"] == "opened").sum()),
        places=int(part["places"].sum()),
        passed=verdicts.get(Outcome.PASS, 0),
        waived=verdicts.get(Outcome.WAIVED, 0),
        unknown=verdicts.get(Outcome.UNKNOWN, 0),
        owners=tuple((None if pd.isna(name) else str(name), int(number)) for name, number in owners.items()),
        remediation=str(rule.get("remediation") or ""),
        citation=document,
        citation_url=url,
        unverified=bool(rule.get("unverified")),
        why=str(rule.get("why") or ""),
        examples=examples,
    )


def citation(value: object) -> tuple[str, str | None]:
    """A rule's citation as text and web address."""
    if not isinstance(value, Mapping):
        return str(value or ""), None
    section = f", {value['section']}" if value.get("section") else ""
    url = str(value.get("url") or "")
    return f"{value.get('document', '')}{section}", url if url.startswith(("https://", "http://")) else None


def by_owner(frame: pd.DataFrame) -> tuple[OwnerGroup, ...]:
    """Owners with findings: most critical ones first, then high, and so on."""
    groups = []
    for owner, part in failing(frame).groupby("owner", dropna=False):
        numbers = {str(k): int(v) for k, v in part["severity"].value_counts().items()}
        opened = int((part["change"] == "opened").sum())
        name = None if pd.isna(owner) else str(owner)
        groups.append(OwnerGroup(name, numbers, len(part), part["asset_id"].nunique(), part["rule_id"].nunique(), opened))
    return tuple(sorted(groups, key=lambda g: ([-g.counts.get(s, 0) for s in SEVERITIES], g.owner or "")))


def rows(table: pa.Table, positions: Any) -> tuple[FindingRow, ...]:
    """Some rows as objects."""
    names = [name for name in FindingRow.__slots__ if name in table.column_names]
    part = table.select(names).take(pa.array(list(positions), pa.int64()))
    return tuple(finding(row) for row in part.to_pylist())


def finding(row: Mapping[str, Any]) -> FindingRow:
    """One row of FINDINGS as an object; `change` and `first_seen` may be missing."""
    lists = {name: tuple(row[name] or ()) for name in ("stations", "locators")}
    return FindingRow(**{"change": "", "first_seen": None, **row, **lists})


def _rank(severity: pd.Series[str]) -> pd.Series[int]:
    return severity.map({name: number for number, name in enumerate(SEVERITIES)}).astype(int)  # also where there is no row


def _verdicts(outcomes: pa.Table) -> dict[str, dict[str, int]]:
    whole = outcomes.filter(pc.equal(outcomes["station"], ""))
    result: dict[str, dict[str, int]] = {}
    for row in whole.to_pylist():
        result.setdefault(row["rule_id"], {})[row["outcome"]] = row["assets"]
    return result
