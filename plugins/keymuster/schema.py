"""The column vocabulary (`schema.yaml`) as types: which tables and columns there are, and what an empty cell means."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pyarrow as pa
import yaml

ARROW: Mapping[str, pa.DataType] = {
    "bool": pa.bool_(),
    "Int64": pa.int64(),
    "Float64": pa.float64(),
    "string": pa.string(),
    "timestamp[us, UTC]": pa.timestamp("us", tz="UTC"),
    "list<string>": pa.list_(pa.string()),
}
"""Data types of the vocabulary and their Arrow types."""


@dataclass(frozen=True, slots=True)
class Column:
    """One column: what it means and how it comes about."""

    name: str
    dtype: str
    """A key of `ARROW`."""
    origin: str
    """`source` (a collector delivers it), `parsed` (from DER) or `fact` (computed)."""
    missing: str
    """How a null is read where the column was delivered: `unknown`, or `none` (a known nothing)."""
    meaning: str
    unit: str | None = None
    needs: str | None = None
    """For facts: what they are computed from, in words."""

    @property
    def arrow(self) -> pa.DataType:
        """Arrow type of the column."""
        return ARROW[self.dtype]


@dataclass(frozen=True, slots=True)
class Table:
    """One kind of asset."""

    name: str
    meaning: str
    identity: str
    """What `asset_id` is made of, in words."""
    columns: Mapping[str, Column]

    def stored(self) -> pa.Schema:
        """Arrow schema of a snapshot: every column that is not a fact, in the order of the vocabulary."""
        return pa.schema([(c.name, c.arrow) for c in self.columns.values() if c.origin != "fact"])

    def names(self, *origins: str) -> tuple[str, ...]:
        """Names of the columns of these origins."""
        return tuple(c.name for c in self.columns.values() if c.origin in origins)


@cache
def tables() -> Mapping[str, Table]:
    """All tables by name; read once."""
    text = Path(__file__).with_name("schema.yaml").read_text("utf-8")
    document: dict[str, Any] = yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))  # noqa: S506 (a safe loader)
    shared = {name: group["columns"] for name, group in document["shared"].items()}
    result = {}
    for name, table in document["tables"].items():
        raw = [c for group in table["uses"] for c in shared[group]] + table["columns"]
        result[name] = Table(name, table["meaning"], table["identity"], {c["name"]: Column(**c) for c in raw})
    return result
