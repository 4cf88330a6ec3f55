"""Days until the end of the permitted use."""

from __future__ import annotations

from typing import Any

import pandas as pd

from keymuster.facts._arrays import days, delivered, series
from keymuster.frame import Frame
from keymuster.protocols import FactContext

COLUMN = "days_left"
TABLE = ("keys", "credentials", "ssh_keys")
NEEDS = ("expires_at",)
DOC = "expires_at - as_of in days; null where no end is set."


def compute(frame: Frame, context: FactContext) -> pd.Series[Any]:
    """See DOC."""
    return series(frame, days(delivered(frame, "expires_at"), context.as_of))
