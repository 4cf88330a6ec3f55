"""Whether an issuer gave a serial number once only."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from keymuster.facts._arrays import series
from keymuster.frame import Frame, empty
from keymuster.protocols import FactContext

COLUMN = "is_issuer_serial_unique"
TABLE = "certificates"
NEEDS = ("asset_id", "issuer", "serial_number", "is_precertificate")
DOC = (
    "No other certificate of the estate has the same issuer and serial number (RFC 5280 4.1.2.2); a precertificate and its final "
    "certificate count as one, the same certificate met at several places counts once."
)


def survey(frames: Mapping[str, Frame], context: FactContext) -> pa.Table:
    """Pairs (issuer, serial_number) that the estate has twice."""
    del context
    frame = frames.get("certificates", empty("certificates"))
    rows = pa.table({name: frame.arrow(name) for name in ("issuer", "serial_number", "asset_id")})
    rows = rows.append_column("pre", frame.arrow("is_precertificate").fill_null(False)).filter(_complete(frame))
    met = rows.group_by(["issuer", "serial_number", "pre"]).aggregate([("asset_id", "count_distinct")])
    twice = met.filter(pc.greater(met["asset_id_count_distinct"], 1)).select(["issuer", "serial_number"])
    return twice.group_by(["issuer", "serial_number"]).aggregate([])


def compute(frame: Frame, context: FactContext) -> pd.Series[Any]:
    """See DOC."""
    found = context.survey.get(COLUMN)
    twice = found if found is not None else survey({"certificates": frame}, context)
    unique = pc.invert(pc.is_in(_pair(frame.arrow("issuer"), frame.arrow("serial_number")), value_set=_pair(*map(_whole, twice.columns))))
    return series(frame, pc.if_else(_complete(frame), unique, None))


def _complete(frame: Frame) -> pa.Array:
    columns = [frame.arrow(name).is_valid() for name in ("asset_id", "issuer", "serial_number")]
    return pc.and_(pc.and_(columns[0], columns[1]), columns[2])


def _pair(issuer: pa.Array, serial: pa.Array) -> pa.Array:
    return pc.binary_join_element_wise(serial, issuer, " ")


def _whole(column: pa.ChunkedArray) -> pa.Array:
    return column.combine_chunks()
