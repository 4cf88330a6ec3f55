"""One table of the inventory in memory, with what its sources could not know.

A null has two meanings (see `schema.Column.missing`), and a third one where the source of a row does not deliver the column
at all: then it is unknown whatever the vocabulary says. `Frame.undelivered` carries that third one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa

from keymuster.schema import tables

Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Frame:
    """Rows of one table, possibly of many stations."""

    table: str
    data: pd.DataFrame
    """Arrow-backed columns (`pd.ArrowDtype`), RangeIndex; one row per sighting (station, locator)."""
    undelivered: Mapping[str, Mask] = field(default_factory=dict)
    """Per column: True where the row's source does not deliver it. A column that is absent from `data` is undelivered everywhere."""

    def __len__(self) -> int:
        return len(self.data)

    def arrow(self, column: str) -> pa.Array:
        """One column as one contiguous Arrow array; all null if it is not there."""
        if column not in self.data.columns:
            dtype = tables()[self.table].columns[column].arrow if column in tables()[self.table].columns else pa.null()
            return pa.nulls(len(self.data), dtype)
        array = pa.array(self.data[column])
        return array.combine_chunks() if isinstance(array, pa.ChunkedArray) else array

    def unknown(self, column: str) -> Mask:
        """True where the value is unknown rather than there or a known nothing. Shape: (rows,)."""
        if column not in self.data.columns:
            return np.ones(len(self.data), dtype=bool)
        undelivered = self.undelivered.get(column)
        null = self.data[column].isna().to_numpy(dtype=bool)
        known = tables()[self.table].columns.get(column)
        if known is not None and known.missing == "none":
            null = np.zeros(len(null), dtype=bool)
        mask: Mask = null if undelivered is None else null | undelivered
        return mask

    def with_column(self, column: str, values: pd.Series[Any] | pa.Array | pa.ChunkedArray, undelivered: Mask | None = None) -> Frame:
        """A new frame with one column added or replaced, cast to the vocabulary's type."""
        dtype = tables()[self.table].columns[column].arrow
        array = values if isinstance(values, pa.Array | pa.ChunkedArray) else pa.array(values, from_pandas=True)
        if array.type != dtype:
            array = array.cast(dtype)
        data = self.data.copy(deep=False)
        data[column] = pd.Series(pd.arrays.ArrowExtensionArray(array), index=data.index)
        masks = {k: v for k, v in self.undelivered.items() if k != column}
        if undelivered is not None and undelivered.any():
            masks[column] = undelivered
        return Frame(self.table, data, masks)

    @classmethod
    def of_rows(cls, table: str, rows: Sequence[Mapping[str, Any]]) -> Frame:
        """A frame from plain rows; a key that a row leaves out is undelivered for it, None is null. For examples and tests."""
        vocabulary = tables()[table].columns
        names = [n for n in vocabulary if any(n in row for row in rows)]
        columns = {n: pa.array([row.get(n) for row in rows], vocabulary[n].arrow) for n in names}
        masks = {n: np.array([n not in row for row in rows]) for n in names}
        return cls(table, to_pandas(pa.table(columns), len(rows)), {n: m for n, m in masks.items() if m.any()})


def to_pandas(table: pa.Table, rows: int | None = None) -> pd.DataFrame:
    """Arrow table as an Arrow-backed DataFrame; `rows` keeps the length of a table without columns."""
    frame: pd.DataFrame = table.to_pandas(types_mapper=pd.ArrowDtype)
    return frame if table.num_columns else pd.DataFrame(index=pd.RangeIndex(rows or 0))


def empty(table: str) -> Frame:
    """A frame of this table without rows, all stored columns present."""
    return Frame(table, to_pandas(tables()[table].stored().empty_table()))
