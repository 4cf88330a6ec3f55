"""Length of a CRL's or OCSP answer's validity."""

from __future__ import annotations

from typing import Any

import pandas as pd

from keymuster.facts._arrays import delivered, micros, ratio, series
from keymuster.frame import Frame
from keymuster.protocols import FactContext

COLUMN = "validity_hours"
TABLE = "revocation_services"
NEEDS = ("this_update_at", "next_update_at")
DOC = "next_update_at - this_update_at in hours."

HOUR = 3_600_000_000


def compute(frame: Frame, context: FactContext) -> pd.Series[Any]:
    """See DOC."""
    del context
    return series(frame, ratio(micros(delivered(frame, "next_update_at"), delivered(frame, "this_update_at")), HOUR))
