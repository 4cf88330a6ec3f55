"""Runs one fact on plain rows, for tests."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from keymuster.content import checks
from keymuster.frame import Frame
from keymuster.normalise import parse_certificate
from keymuster.policy import Policy
from keymuster.protocols import FactContext, Partial
from keymuster.registry import load
from tests.certificates import AS_OF, Issued

Rows = list[dict[str, Any]]


def context_of(
    tables: Mapping[str, Rows | Frame],
    *,
    as_of: datetime = AS_OF,
    policy: Policy | None = None,
    ders: Mapping[str, bytes] | None = None,
    reference: Path | None = None,
    survey: Mapping[str, Any] | None = None,
) -> FactContext:
    """A context over plain rows; `ders` by fingerprint or spki_sha256."""
    frames = {name: rows if isinstance(rows, Frame) else Frame.of_rows(name, rows) for name, rows in tables.items()}
    kept = dict(ders or {})

    def found(fingerprints: Iterable[str]) -> dict[str, bytes]:
        return {f: kept[f] for f in fingerprints if f in kept}

    return FactContext(as_of, policy or Policy(), frames, reference or checks() / "reference", found, dict(survey or {}))


def run(fact: str, table: str, rows: Rows | Frame, beside: Mapping[str, Rows | Frame] | None = None, **knobs: Any) -> list[Any]:
    """Values of a fact for the rows of a table, as plain Python values; needed facts are given as columns."""
    context = context_of({**(beside or {}), table: rows}, **knobs)
    module = load("facts", fact)
    answer = module.compute(context.frames[table], context)
    values = answer.values if isinstance(answer, Partial) else answer
    made = context.frames[table].with_column(module.COLUMN, values)
    return made.arrow(module.COLUMN).to_pylist()


def sighting(issued: Issued, **columns: Any) -> dict[str, Any]:
    """A row of `certificates` for one certificate: parsed columns and the given ones."""
    return {
        "station": "s",
        "locator": issued.fingerprint[:8],
        "role": "served",
        "observed_at": AS_OF,
        **parse_certificate(issued.der),
        **columns,
    }


def ders_of(*issued: Issued) -> dict[str, bytes]:
    """DER by fingerprint."""
    return {one.fingerprint: one.der for one in issued}
