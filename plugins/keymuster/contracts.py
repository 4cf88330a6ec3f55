"""What a snapshot must look like before anybody judges it (`checks/contracts/*.yaml`), as demands that the gate hands to GX.

`every.yaml` holds for all sources; `<source>.yaml` overrides single fields for one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from keymuster.content import checks, read_yaml
from keymuster.errors import ContentError
from keymuster.schema import tables
from keymuster.settings import settings


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Contract(_Strict):
    """The contract of one source."""

    unique: tuple[str, ...] = Field(default=("station", "locator"), description="Columns that together name a row.")
    never_empty: tuple[str, ...] = Field(default=("asset_id", "station", "locator", "observed_at"))
    least_percent_of_previous: float | None = Field(default=50, ge=0, le=100, description="With fewer rows the listing is not believed.")
    counts_from_rows: int = Field(default=20, ge=1, description="Tables with fewer rows before are not compared.")
    oldest_days: float | None = Field(default=400, description="Age of the newest observation at most.")
    ahead_days: float = Field(default=1, description="How far an observation may lie after the audit's instant.")
    values: Mapping[str, Mapping[str, tuple[str, ...]]] = Field(default={}, description="table -> column -> values there may be.")
    at_least: Mapping[str, Mapping[str, float]] = Field(default={}, description="table -> column -> least value.")


AGE = "observed_days_ago"
"""Column that the gate adds: GX cannot compare zoned instants of Arrow, but numbers it can."""


@dataclass(frozen=True, slots=True)
class Demand:
    """One expectation of GX."""

    batch: str
    """`rows`: over the table itself; `columns`: over the list of its columns."""
    expectation: str
    kwargs: Mapping[str, Any]
    words: str


def load_contract(source: str, folder: Path | None = None) -> Contract:
    """`every.yaml` with the fields of `<source>.yaml` over it. ContentError names file and field."""
    folder = folder or (settings().checks or checks()) / "contracts"
    merged: dict[str, Any] = {}
    for path in (folder / "every.yaml", folder / f"{source}.yaml"):
        if path.exists():
            merged |= _read(path)
    return Contract.model_validate(merged)


def _read(path: Path) -> dict[str, Any]:
    document = read_yaml(path) or {}
    if not isinstance(document, dict):
        raise ContentError(f"{path}: a contract is a mapping of fields, not a {type(document).__name__}")
    try:
        contract = Contract.model_validate(document)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise ContentError(f"{path}: {where}: {first['msg']}; there are {', '.join(Contract.model_fields)}") from None
    for field in ("values", "at_least"):
        for table, columns in getattr(contract, field).items():
            if table not in tables():
                raise ContentError(f"{path}: {field}: no table named {table!r}; there are {', '.join(tables())}")
            for column in columns:
                if column not in tables()[table].columns:
                    raise ContentError(f"{path}: {field}.{table}: no column named {column!r}")
    return document


def demands(contract: Contract, table: str, data: pa.Table | None, as_of: datetime, previous: int | None) -> list[Demand]:
    """What is demanded of one table. Tables without rows are asked for their shape and row count only."""
    wanted = [] if data is None else [_shape(table)]
    least = contract.least_percent_of_previous
    if previous is not None and least is not None and previous >= contract.counts_from_rows:
        rows = int(previous * least / 100)
        words = f"at least {rows} rows, {least:g} % of the {previous} before"
        wanted.append(Demand("rows", "ExpectTableRowCountToBeBetween", {"min_value": rows}, words))
    if data is not None and data.num_rows:
        wanted += [d for d in _of_rows(contract, table, as_of) if d.kwargs.get("column") in (None, AGE, *data.column_names)]
    return wanted


def _shape(table: str) -> Demand:
    if table not in tables():
        return Demand("columns", "ExpectTableRowCountToEqual", {"value": -1}, "a table of the vocabulary")
    names = [f"{f.name}: {f.type}" for f in tables()[table].stored()]
    return Demand(
        "columns",
        "ExpectColumnDistinctValuesToEqualSet",
        {"column": "column", "value_set": names},
        "the columns and types of the vocabulary",
    )


def _of_rows(contract: Contract, table: str, as_of: datetime) -> list[Demand]:
    unique = list(contract.unique)
    wanted = [Demand("rows", "ExpectCompoundColumnsToBeUnique", {"column_list": unique}, f"{' and '.join(unique)} together unique")]
    wanted += [Demand("rows", "ExpectColumnValuesToNotBeNull", {"column": c}, f"{c} never empty") for c in contract.never_empty]
    newest: dict[str, Any] = {"column": AGE, "min_value": -contract.ahead_days}
    words = f"no observation more than {contract.ahead_days:g} days ahead of {as_of:%Y-%m-%d %H:%M}"
    if contract.oldest_days is not None:
        newest["max_value"] = contract.oldest_days
        words += f", the newest at most {contract.oldest_days:g} days old"
    wanted.append(Demand("rows", "ExpectColumnMinToBeBetween", newest, words))
    for column, values in contract.values.get(table, {}).items():
        kwargs: dict[str, Any] = {"column": column, "value_set": list(values)}
        wanted.append(Demand("rows", "ExpectColumnValuesToBeInSet", kwargs, f"{column} one of {', '.join(values)}"))
    for column, least in contract.at_least.get(table, {}).items():
        kwargs = {"column": column, "min_value": least}
        wanted.append(Demand("rows", "ExpectColumnValuesToBeBetween", kwargs, f"{column} at least {least:g}"))
    return wanted


def batch(data: pa.Table, as_of: datetime, wanted: list[Demand]) -> pa.Table:
    """The columns that the demands read, and AGE; the fewer columns GX carries, the quicker it is."""
    names = {n for d in wanted for n in (d.kwargs.get("column"), *d.kwargs.get("column_list", ()))}
    columns = {n: data[n] for n in data.column_names if n in names}
    if AGE in names and "observed_at" in data.column_names:
        since = pc.subtract(pa.scalar(as_of, data["observed_at"].type), data["observed_at"])
        columns[AGE] = pc.divide(pc.cast(pc.cast(since, pa.int64()), pa.float64()), 86_400_000_000.0)
    return pa.table(columns) if columns else data
