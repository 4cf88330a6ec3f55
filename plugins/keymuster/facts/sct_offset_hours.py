"""Distance of the start of validity from the signing."""

from __future__ import annotations

from typing import Any

import pandas as pd
import pyarrow.compute as pc

from keymuster.facts._arrays import delivered, micros, ratio, series
from keymuster.frame import Frame
from keymuster.protocols import FactContext

COLUMN = "sct_offset_hours"
TABLE = "certificates"
NEEDS = ("not_before", "earliest_sct_at")
DOC = "|not_before - earliest_sct_at| in hours; null without SCT."

HOUR = 3_600_000_000


def compute(frame: Frame, context: FactContext) -> pd.Series[Any]:
    """See DOC."""
    del context
    return series(frame, ratio(pc.abs(micros(delivered(frame, "not_before"), delivered(frame, "earliest_sct_at"))), HOUR))
