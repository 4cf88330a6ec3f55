"""Mandatory fields that the register of record leaves empty."""

from __future__ import annotations

from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from keymuster.facts._arrays import flags, labels, series
from keymuster.facts._register import register, registered, survey  # noqa: F401 (the audit calls it)
from keymuster.frame import Frame
from keymuster.protocols import FactContext, Unknowable
from keymuster.schema import tables

COLUMN = "register_gaps"
TABLE = tuple(tables())
NEEDS = ("station", "asset_id")
DOC = (
    "Fields that policy declares mandatory and that every row of the asset in the register of record leaves empty; null "
    "where the asset is not registered."
)


def _filled(frame: Frame, station: str, field: str) -> pa.Array:
    """Per row whether some row of its asset in the register has a value in the field."""
    array, ids = frame.arrow(field), frame.arrow("asset_id")
    there = array.is_valid()
    if pa.types.is_list(array.type):
        there = pc.and_(there, pc.greater(pc.list_value_length(array), 0).fill_null(False))
    elif pa.types.is_string(array.type):
        there = pc.and_(there, pc.not_equal(array, "").fill_null(False))
    rows = pc.and_(there, pc.equal(frame.arrow("station"), station).fill_null(False))
    return pc.is_in(ids, value_set=ids.filter(rows).unique())


def compute(frame: Frame, context: FactContext) -> pd.Series[Any]:
    """See DOC."""
    station = register(context)
    if not context.policy.register_fields:
        raise Unknowable("policy names no mandatory fields of the register (register_fields)")
    fields = [f for f in context.policy.register_fields if f in tables()[frame.table].columns]
    listed = registered(frame, station)
    masks = {field: ~flags(_filled(frame, station, field)) for field in fields}
    return series(frame, labels(masks, ~flags(listed)))
