"""Age of a key or credential."""

from __future__ import annotations

from typing import Any

import pandas as pd

from keymuster.facts._arrays import days, delivered, series
from keymuster.frame import Frame
from keymuster.protocols import FactContext

COLUMN = "age_days"
TABLE = ("keys", "credentials", "ssh_keys")
NEEDS = ("created_at",)
DOC = "as_of - created_at in days."


def compute(frame: Frame, context: FactContext) -> pd.Series[Any]:
    """See DOC."""
    return series(frame, days(context.as_of, delivered(frame, "created_at")))
