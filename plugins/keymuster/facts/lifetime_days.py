"""Length of the permitted use."""

from __future__ import annotations

from typing import Any

import pandas as pd

from keymuster.facts._arrays import days, delivered, series
from keymuster.frame import Frame
from keymuster.protocols import FactContext

COLUMN = "lifetime_days"
TABLE = ("keys", "credentials", "ssh_keys")
NEEDS = ("created_at", "expires_at")
DOC = "expires_at - created_at in days; null where no end is set."


def compute(frame: Frame, context: FactContext) -> pd.Series[Any]:
    """See DOC."""
    del context
    return series(frame, days(delivered(frame, "expires_at"), delivered(frame, "created_at")))
