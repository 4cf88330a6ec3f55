"""Arrow arrays in, pandas Series out: the few steps that most facts share. Python runs over distinct values only."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from keymuster.frame import Frame, Mask, empty
from keymuster.protocols import FactContext

DAY = 86_400_000_000
"""Microseconds of a day."""


def series(frame: Frame, array: pa.Array) -> pd.Series[Any]:
    """An Arrow array as the frame's column; no copy."""
    return pd.Series(pd.arrays.ArrowExtensionArray(array), index=frame.data.index)


def table(context: FactContext, name: str) -> Frame:
    """A table of this shard; without rows where there is none."""
    return context.frames[name] if name in context.frames else empty(name)


def known(array: pa.Array, unknown: Mask) -> pa.Array:
    """The array with nulls where the value is unknown."""
    return pc.if_else(pa.array(~unknown), array, pa.scalar(None, array.type))


def delivered(frame: Frame, column: str) -> pa.Array:
    """A column with nulls where its source does not deliver it."""
    mask = frame.undelivered.get(column)
    array = frame.arrow(column)
    return array if mask is None else known(array, mask)


def micros(end: pa.Array | datetime, start: pa.Array | datetime) -> pa.Array:
    """End - start in microseconds (int64), null where either is null."""
    return pc.subtract(_instant(end), _instant(start))


def _instant(value: pa.Array | datetime) -> pa.Array | pa.Scalar:
    kind = pa.timestamp("us", tz="UTC")
    return pc.cast(pa.scalar(value, kind), pa.int64()) if isinstance(value, datetime) else pc.cast(pc.cast(value, kind), pa.int64())


def ratio(span: pa.Array, unit: int) -> pa.Array:
    """Microseconds in another unit, as float64."""
    return pc.divide(pc.cast(span, pa.float64()), float(unit))


def days(end: pa.Array | datetime, start: pa.Array | datetime) -> pa.Array:
    """End - start in days, float64."""
    return ratio(micros(end, start), DAY)


def each(array: pa.Array, answer: Callable[[Any], Any], kind: pa.DataType) -> pa.Array:
    """Apply a Python function once per distinct value; null stays null."""
    encoded = array.dictionary_encode()
    answers = pa.array([None if v is None else answer(v) for v in encoded.dictionary.to_pylist()], kind)
    return answers.take(encoded.indices)


def looked_up(array: pa.Array, table_: Mapping[Any, Any], kind: pa.DataType) -> pa.Array:
    """Replace values by a table's; null where the table has none."""
    return each(array, table_.get, kind)


def chosen(lists: pa.Array, keep: Callable[[str], bool]) -> pa.Array:
    """Of each list the elements that `keep` says true of, asked once per distinct element; null stays null."""
    flat, parents = pc.list_flatten(lists), pc.list_parent_indices(lists).to_numpy()
    wanted = each(flat, keep, pa.bool_()).fill_null(False).to_numpy(zero_copy_only=False)
    counts = np.bincount(parents[wanted], minlength=len(lists))
    return _lists(flat.filter(pa.array(wanted)), counts, lists.is_null().to_numpy(zero_copy_only=False))


def holds(lists: pa.Array, keep: Callable[[str], bool]) -> Mask:
    """Whether some element of each list satisfies `keep`; False for null. Shape: (rows,)."""
    flat, parents = pc.list_flatten(lists), pc.list_parent_indices(lists).to_numpy()
    wanted = each(flat, keep, pa.bool_()).fill_null(False).to_numpy(zero_copy_only=False)
    found: Mask = np.bincount(parents[wanted], minlength=len(lists)) > 0
    return found


def labels(masks: Mapping[str, Mask], unknown: Mask) -> pa.Array:
    """One list per row, of the labels whose mask is true there; null where unknown."""
    grid = np.column_stack(list(masks.values())) if masks else np.zeros((len(unknown), 0), dtype=bool)
    names = np.tile(np.array(list(masks), dtype=object), len(unknown))[grid.ravel()]
    return _lists(pa.array(names, pa.string()), grid.sum(axis=1), unknown)


def _lists(flat: pa.Array, counts: Any, null: Mask) -> pa.Array:
    offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int32)
    return pa.ListArray.from_arrays(pa.array(offsets), flat, mask=pa.array(null))


def flags(array: pa.Array) -> Mask:
    """A boolean array as a mask, null as False."""
    mask: Mask = array.fill_null(False).to_numpy(zero_copy_only=False)
    return mask


def places(frame: Frame, select: Mask | None = None) -> pd.DataFrame:
    """Distinct (asset_id, station, locator) of the selected rows; CA certificates that a shard holds as context may be there twice."""
    columns = {name: frame.arrow(name) for name in ("asset_id", "station", "locator")}
    rows = pa.table(columns) if select is None else pa.table(columns).filter(pa.array(select))
    found: pd.DataFrame = rows.to_pandas().drop_duplicates()
    return found


def counted(keys: pa.Array, counts: pd.Series[Any]) -> pa.Array:
    """A count per row by key: 0 where the key has none, null where the key is null."""
    found = {key: int(count) for key, count in counts.items()}
    return each(keys, lambda key: found.get(key, 0), pa.int64())


def joined(keys: pa.Array, ids: pa.Array, values: pa.Array) -> pa.Array:
    """Look keys up among ids and take the value there (the first one that is not null); null where a key is not found."""
    order = pc.sort_indices(values.is_null())
    first = pa.array(np.flatnonzero(~ids.take(order).to_pandas().duplicated().to_numpy()), pa.int64())
    rows = order.take(first)
    return values.take(rows).take(pc.index_in(keys, value_set=ids.take(rows), skip_nulls=True))
