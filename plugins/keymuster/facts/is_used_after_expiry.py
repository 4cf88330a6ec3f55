"""Use after the end of the permitted use."""

from __future__ import annotations

from typing import Any

import pandas as pd
import pyarrow.compute as pc

from keymuster.facts._arrays import known, series
from keymuster.frame import Frame
from keymuster.protocols import FactContext

COLUMN = "is_used_after_expiry"
TABLE = "keys"
NEEDS = ("last_used_at", "expires_at")
DOC = "last_used_at is at or after expires_at; false where never used, null without an end date."


def compute(frame: Frame, context: FactContext) -> pd.Series[Any]:
    """See DOC."""
    del context
    late = pc.greater_equal(frame.arrow("last_used_at"), frame.arrow("expires_at")).fill_null(False)
    return series(frame, known(late, frame.unknown("last_used_at") | frame.arrow("expires_at").is_null().to_numpy(zero_copy_only=False)))
