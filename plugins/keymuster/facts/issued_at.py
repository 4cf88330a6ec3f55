"""Best evidence of the instant of signing."""

from __future__ import annotations

from typing import Any

import pandas as pd
import pyarrow.compute as pc

from keymuster.facts._arrays import known, series
from keymuster.frame import Frame
from keymuster.protocols import FactContext

COLUMN = "issued_at"
TABLE = "certificates"
NEEDS = ("earliest_sct_at", "not_before")
DOC = "The earliest embedded SCT, else not_before; null where SCTs were not read."


def compute(frame: Frame, context: FactContext) -> pd.Series[Any]:
    """See DOC."""
    del context
    return series(frame, known(pc.coalesce(frame.arrow("earliest_sct_at"), frame.arrow("not_before")), frame.unknown("earliest_sct_at")))
