"""Compares two audits: what opened, what stands, what is resolved, and what is gone without proof.

Only failures count; a waived finding is not open. A failure that is gone is `resolved` if the audit can vouch for it: the rule was
evaluated, every station that saw the asset before is current and complete, and the rule's verdict on the asset is not `unknown` now.
Otherwise it is `unconfirmed`: absence proves nothing, and tickets stay open.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from keymuster.model import Delta
from keymuster.results import AuditResult

_FIELDS = ("key", "rule_id", "table", "asset_id", "stations")


def compare(before: AuditResult | None, after: AuditResult) -> Delta:
    """Finding keys by what became of them, each sorted. Without an audit before, everything is opened."""
    then = {} if before is None else _failures(before)
    now = _failures(after)
    gone = {key: then[key] for key in then.keys() - now.keys()}
    doubtful = _doubtful(gone, before, after)
    return Delta(
        opened=tuple(sorted(now.keys() - then.keys())),
        standing=tuple(sorted(now.keys() & then.keys())),
        resolved=tuple(sorted(gone.keys() - doubtful)),
        unconfirmed=tuple(sorted(doubtful)),
    )


def _failures(result: AuditResult) -> dict[str, dict[str, Any]]:
    rows = result.findings.filter(pc.equal(result.findings["outcome"], "fail"))
    return {row["key"]: row for row in rows.select(_FIELDS).to_pylist()}


def _doubtful(gone: Mapping[str, Mapping[str, Any]], before: AuditResult | None, after: AuditResult) -> set[str]:
    if before is None or not gone:
        return set()
    complete = {s.station for s in after.manifest.stations if s.complete}
    waived = set(after.findings.filter(pc.equal(after.findings["outcome"], "waived"))["key"].to_pylist())
    evaluated = set(after.outcomes["rule_id"].to_pylist())
    assets = pa.array({row["asset_id"] for row in gone.values()}, pa.string())
    seen_at = _by_asset(before.assets, "stations", assets)
    unknown = _by_asset(after.assets, "unknown_rules", assets)
    return {
        key
        for key, row in gone.items()
        if key not in waived
        and (
            row["rule_id"] not in evaluated
            or not {*row["stations"], *seen_at.get((row["table"], row["asset_id"]), ())} <= complete
            or row["rule_id"] in unknown.get((row["table"], row["asset_id"]), ())
        )
    }


def _by_asset(table: pa.Table, column: str, assets: pa.Array) -> dict[tuple[str, str], list[str]]:
    if column not in table.column_names:
        return {}
    rows = table.filter(pc.is_in(table["asset_id"], value_set=assets)).select(["table", "asset_id", column]).to_pylist()
    return {(row["table"], row["asset_id"]): row[column] or [] for row in rows}
