"""Length of a certificate's validity."""

from __future__ import annotations

from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from keymuster.facts._arrays import delivered, micros, series
from keymuster.frame import Frame
from keymuster.protocols import FactContext

COLUMN = "validity_days"
TABLE = "certificates"
NEEDS = ("not_before", "not_after")
DOC = "ceil((not_after - not_before + 1 s) / 86,400 s), the count of TLS BR 6.3.2."


def compute(frame: Frame, context: FactContext) -> pd.Series[Any]:
    """See DOC."""
    del context
    seconds = pc.divide(micros(delivered(frame, "not_after"), delivered(frame, "not_before")), 1_000_000)
    return series(frame, pc.cast(pc.ceil(pc.divide(pc.cast(pc.add(seconds, 1), pa.float64()), 86_400.0)), pa.int64()))
