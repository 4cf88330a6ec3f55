"""Days until a certificate ends."""

from __future__ import annotations

from typing import Any

import pandas as pd

from keymuster.facts._arrays import days, delivered, series
from keymuster.frame import Frame
from keymuster.protocols import FactContext

COLUMN = "days_left"
TABLE = "certificates"
NEEDS = ("not_after",)
DOC = "(not_after - as_of) in days, as_of cut to the second because the last second of the validity counts (RFC 5280 4.1.2.5)."


def compute(frame: Frame, context: FactContext) -> pd.Series[Any]:
    """See DOC."""
    return series(frame, days(delivered(frame, "not_after"), context.as_of.replace(microsecond=0)))
