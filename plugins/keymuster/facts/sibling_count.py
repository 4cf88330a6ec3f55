"""Active credentials of one kind that one principal holds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from keymuster.facts._arrays import each, series
from keymuster.frame import Frame, empty
from keymuster.protocols import FactContext

COLUMN = "sibling_count"
TABLE = "credentials"
NEEDS = ("kind", "principal_asset_id", "is_active", "asset_id")
DOC = "Distinct active credentials of the estate with the same kind and principal, this one included if active; null for orphaned ones."


def survey(frames: Mapping[str, Frame], context: FactContext) -> pa.Table:
    """Active credentials of the estate by kind and principal: kind, principal_asset_id, count."""
    del context
    frame = frames.get("credentials", empty("credentials"))
    rows = pa.table({name: frame.arrow(name) for name in ("kind", "principal_asset_id", "asset_id")})
    rows = rows.filter(frame.arrow("is_active").fill_null(False))
    met = rows.group_by(["kind", "principal_asset_id"]).aggregate([("asset_id", "count_distinct")])
    return met.rename_columns(["kind", "principal_asset_id", "count"])


def compute(frame: Frame, context: FactContext) -> pd.Series[Any]:
    """See DOC."""
    found = context.survey.get(COLUMN)
    counts = found if found is not None else survey({"credentials": frame}, context)
    keys = pc.binary_join_element_wise(counts["kind"], counts["principal_asset_id"], " ").combine_chunks()
    own = pc.binary_join_element_wise(frame.arrow("kind"), frame.arrow("principal_asset_id"), " ")
    values = dict(zip(keys.to_pylist(), counts["count"].to_pylist(), strict=True))
    return series(frame, each(own, lambda key: values.get(key, 0), pa.int64()))
