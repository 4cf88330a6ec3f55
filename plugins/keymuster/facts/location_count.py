"""Places that hold the private part of a key."""

from __future__ import annotations

from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from keymuster.facts._arrays import counted, flags, known, places, series
from keymuster.frame import Frame
from keymuster.protocols import FactContext

COLUMN = "location_count"
TABLE = "keys"
NEEDS = ("asset_id", "station", "locator", "kind")
DOC = "Distinct (station, locator) of kind private, symmetric or hmac per asset_id."


def compute(frame: Frame, context: FactContext) -> pd.Series[Any]:
    """See DOC."""
    del context
    held = flags(pc.is_in(frame.arrow("kind"), value_set=pa.array(["private", "symmetric", "hmac"])))
    count = counted(frame.arrow("asset_id"), places(frame, held)["asset_id"].value_counts())
    return series(frame, known(count, frame.unknown("kind")))
