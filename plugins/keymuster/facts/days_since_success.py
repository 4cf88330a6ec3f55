"""Age of a station's last complete run."""

from __future__ import annotations

from typing import Any

import pandas as pd

from keymuster.facts._arrays import days, delivered, series
from keymuster.frame import Frame
from keymuster.protocols import FactContext

COLUMN = "days_since_success"
TABLE = "stations"
NEEDS = ("last_success_at",)
DOC = "as_of - last_success_at in days; null where there was none."


def compute(frame: Frame, context: FactContext) -> pd.Series[Any]:
    """See DOC."""
    return series(frame, days(context.as_of, delivered(frame, "last_success_at")))
