"""Age of a review, plan or piece of evidence."""

from __future__ import annotations

from typing import Any

import pandas as pd

from keymuster.facts._arrays import days, delivered, series
from keymuster.frame import Frame
from keymuster.protocols import FactContext

COLUMN = "days_since_performed"
TABLE = "attestations"
NEEDS = ("performed_at",)
DOC = "as_of - performed_at in days; null where it was never done."


def compute(frame: Frame, context: FactContext) -> pd.Series[Any]:
    """See DOC."""
    return series(frame, days(context.as_of, delivered(frame, "performed_at")))
