"""All findings as CSV (RFC 4180, UTF-8 with a byte order mark, because spreadsheets guess wrong without one).

One row per finding, the worst first; several values in one cell are joined by `; `. A text that a spreadsheet would run as a formula
(it starts with = + - @, a tab or a line break, or their full-width forms, after any blanks) gets an apostrophe before it;
invisible and control characters are shown as ⟨U+202E⟩. Programs should read the JSON export, which changes nothing.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping
from itertools import repeat

import pyarrow as pa
import pyarrow.compute as pc

from keymuster.report_context import ReportContext, ReportTemplate
from keymuster.text import visible

SUFFIX = ".csv"
MEDIA_TYPE = "text/csv; charset=utf-8; header=present"
STEM = "findings"
_SECONDS = pa.timestamp("s", tz="UTC")
COLUMNS = (
    "key", "change", "severity", "outcome", "rule_id", "code", "title", "table", "asset_id", "label", "owner", "environment", "stations",
    "places", "locators", "first_seen", "observed", "expected", "remediation", "citation", "waiver", "unverified", "snapshot_uri",
    "estate", "as_of", "audit_key",
)  # fmt: skip
"""Stable; new ones are added at the end."""
_FORMULA = r"^\s*[=+\-@\x{FF1D}\x{FF0B}\x{FF0D}\x{FF20}\t\r\n]"
_HIDDEN = r"[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]"


def render(context: ReportContext, _template: ReportTemplate) -> bytes:
    """All findings and waived failures of the audit; the report makes no difference."""
    columns = _columns(context)
    out = io.StringIO()
    out.write("\ufeff")
    writer = csv.writer(out, lineterminator="\r\n")
    writer.writerow(COLUMNS)
    writer.writerows(zip(*columns, strict=True))
    return out.getvalue().encode("utf-8", "backslashreplace")


def _columns(context: ReportContext) -> list[Iterable[str]]:
    table, manifest = context.table, context.result.manifest
    texts = {rule: _texts(value) for rule, value in manifest.rules.items()}
    constant = {"estate": manifest.estate, "as_of": manifest.as_of.isoformat(), "audit_key": manifest.key}
    columns: list[Iterable[str]] = []
    for name in COLUMNS:
        if name in constant:
            columns.append(repeat(constant[name], table.num_rows))
            continue
        values = {rule: text[name] for rule, text in texts.items()} if name in {"remediation", "citation"} else None
        columns.append(_plain(table[name] if values is None else _mapped(table["rule_id"], values)).to_pylist())
    return columns


def _texts(rule: Mapping[str, object]) -> dict[str, str]:
    citation = rule.get("citation") or ""
    if isinstance(citation, Mapping):
        citation = ", ".join(str(citation[part]) for part in ("document", "section") if citation.get(part))
    return {"remediation": str(rule.get("remediation") or ""), "citation": str(citation)}


def _mapped(keys: pa.ChunkedArray, values: Mapping[str, str]) -> pa.ChunkedArray:
    position = pc.index_in(keys, value_set=pa.array(list(values), pa.string()))
    return pc.take(pa.array(list(values.values()), pa.string()), position)


def _plain(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Any column as harmless text."""
    kind = column.type
    if pa.types.is_timestamp(kind):
        return pc.fill_null(pc.strftime(pc.cast(column, _SECONDS, safe=False), "%Y-%m-%dT%H:%M:%SZ"), "")
    if pa.types.is_list(kind):
        column = pc.binary_join(column, "; ")
    if not pa.types.is_string(column.type):
        return pc.fill_null(pc.cast(column, pa.string()), "")
    column = _shown(pc.fill_null(column, ""))
    return pc.if_else(pc.match_substring_regex(column, _FORMULA), pc.binary_join_element_wise("'", column, ""), column)


def _shown(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """`visible` on the few texts that need it."""
    hides = pc.match_substring_regex(column, _HIDDEN)
    if not pc.any(hides).as_py():
        return column
    fixed = [visible(text) if bad else text for text, bad in zip(column.to_pylist(), hides.to_pylist(), strict=True)]
    return pa.chunked_array([pa.array(fixed, pa.string())])
