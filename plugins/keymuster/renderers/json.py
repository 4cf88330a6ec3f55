"""The whole audit as JSON for programs; `export.schema.json` beside this file describes it.

Plain ASCII, with `<`, `>` and `&` as escapes, so that no terminal, browser or script block takes a subject for an order;
the values are exact.
Additions keep the schema's version; anything else raises it.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import date, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from keymuster.report_context import ReportContext, ReportTemplate

SUFFIX = ".json"
MEDIA_TYPE = "application/json"
STEM = "findings"
_SECONDS = pa.timestamp("s", tz="UTC")
VERSION = "keymuster.report/1"
_ESCAPES = {"<": "\\u003c", ">": "\\u003e", "&": "\\u0026"}


def schema() -> dict[str, Any]:
    """JSON Schema of the export."""
    return json.loads(Path(__file__).with_name("export.schema.json").read_text("utf-8"))  # type: ignore[no-any-return]


def render(context: ReportContext, _template: ReportTemplate) -> bytes:
    """The audit, its findings, scores and gaps; the report makes no difference."""
    text = json.dumps(_document(context), ensure_ascii=True, separators=(",", ":"), default=_plain)
    for character, escape in _ESCAPES.items():  # they only occur inside strings
        text = text.replace(character, escape)
    return text.encode("ascii") + b"\n"


def _document(context: ReportContext) -> dict[str, Any]:
    manifest = context.result.manifest
    change = context.change
    return {
        "schema": VERSION,
        "audit": {"uri": context.result.uri, **manifest.as_json()},
        "totals": {**asdict(context.totals), "verdicts": context.totals.verdicts},
        "verdict": asdict(context.verdict),
        "change": {
            **{name: getattr(change, name) for name in _CHANGE},
            "before_as_of": change.before_as_of,
            "rules": [asdict(rule) for rule in change.rules],
        },
        "findings": _rows(context.table),
        "controls": context.result.controls.to_pylist(),
        "outcomes": context.result.outcomes.to_pylist(),
        "unknowns": context.result.unknowns.to_pylist(),
        "expiry": asdict(context.expiry),
        "coverage": [_station(s) for s in manifest.as_json()["stations"]],
        "not_evaluated": {
            "rules": dict(manifest.not_evaluated),
            "facts": dict(manifest.facts_unknown),
            "stations": {s.station: s.reason for s in context.gaps.stations},
        },
    }


_CHANGE = ("before_uri", "opened", "standing", "resolved", "unconfirmed", "worsened", "eased", "ruleset_changed", "policy_changed")


def _rows(table: pa.Table) -> list[dict[str, Any]]:
    names, columns = table.column_names, []
    for column in table.columns:
        stamp = pa.types.is_timestamp(column.type)
        columns.append((pc.strftime(pc.cast(column, _SECONDS, safe=False), "%Y-%m-%dT%H:%M:%SZ") if stamp else column).to_pylist())
    return [dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)]


def _station(station: dict[str, Any]) -> dict[str, Any]:
    coverage = (station["snapshot"] or {}).get("coverage") or {"expected": None, "fetched": 0, "refused": 0, "truncated": False}
    return {name: station[name] for name in ("station", "source", "owner", "state", "reason", "age_days", "problems")} | coverage


def _plain(value: object) -> object:
    if isinstance(value, datetime | date):
        return value.isoformat()
    raise TypeError(f"{type(value).__name__} has no form in the export")
