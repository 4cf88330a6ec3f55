"""Hours until a CRL or OCSP answer must be renewed."""

from __future__ import annotations

from typing import Any

import pandas as pd

from keymuster.facts._arrays import delivered, micros, ratio, series
from keymuster.frame import Frame
from keymuster.protocols import FactContext

COLUMN = "hours_to_next_update"
TABLE = "revocation_services"
NEEDS = ("next_update_at",)
DOC = "next_update_at - as_of in hours, negative once past."

HOUR = 3_600_000_000


def compute(frame: Frame, context: FactContext) -> pd.Series[Any]:
    """See DOC."""
    return series(frame, ratio(micros(delivered(frame, "next_update_at"), context.as_of), HOUR))
