"""Remaining days on the scale of a 90-day certificate."""

from __future__ import annotations

from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from keymuster.facts._arrays import series
from keymuster.frame import Frame
from keymuster.protocols import FactContext

COLUMN = "days_left_scaled"
TABLE = "certificates"
NEEDS = ("days_left", "validity_days")
DOC = "days_left times max(1, 90 / validity_days), so that one threshold fits a 6-day and a 398-day certificate."


def compute(frame: Frame, context: FactContext) -> pd.Series[Any]:
    """See DOC."""
    del context
    length = pc.cast(frame.arrow("validity_days"), pa.float64())
    short = pc.and_(pc.greater(length, 0.0), pc.less(length, 90.0))
    factor = pc.if_else(short, pc.divide(90.0, pc.if_else(short, length, 1.0)), 1.0)
    return series(frame, pc.multiply(frame.arrow("days_left"), factor))
