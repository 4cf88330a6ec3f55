"""Age of the last revocation answer."""

from __future__ import annotations

from typing import Any

import pandas as pd

from keymuster.facts._arrays import days, delivered, series
from keymuster.frame import Frame
from keymuster.protocols import FactContext

COLUMN = "revocation_check_age_days"
TABLE = "certificates"
NEEDS = ("revocation_checked_at",)
DOC = "as_of - revocation_checked_at in days; null where there was no answer."


def compute(frame: Frame, context: FactContext) -> pd.Series[Any]:
    """See DOC."""
    return series(frame, days(context.as_of, delivered(frame, "revocation_checked_at")))
