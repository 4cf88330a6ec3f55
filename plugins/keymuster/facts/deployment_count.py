"""Places where a certificate is in use."""

from __future__ import annotations

from typing import Any

import pandas as pd
import pyarrow.compute as pc

from keymuster.facts._arrays import counted, flags, places, series
from keymuster.frame import Frame
from keymuster.protocols import FactContext

COLUMN = "deployment_count"
TABLE = "certificates"
NEEDS = ("asset_id", "station", "locator", "is_deployed")
DOC = (
    "Distinct (station, locator) with is_deployed per asset_id, rows met twice counted once; null where no place is known"
    " to use it and some place leaves it open."
)


def compute(frame: Frame, context: FactContext) -> pd.Series[Any]:
    """See DOC."""
    del context
    deployed = frame.arrow("is_deployed")
    ids = frame.arrow("asset_id")
    counts = places(frame, flags(deployed))["asset_id"].value_counts()
    count = counted(ids, counts)
    open_ = ids.filter(deployed.is_null())
    doubtful = pc.and_(pc.equal(count, 0), pc.is_in(ids, value_set=open_))
    return series(frame, pc.if_else(doubtful, None, count))
