"""Seconds until a certificate starts."""

from __future__ import annotations

from typing import Any

import pandas as pd

from keymuster.facts._arrays import delivered, micros, ratio, series
from keymuster.frame import Frame
from keymuster.protocols import FactContext

COLUMN = "seconds_until_valid"
TABLE = "certificates"
NEEDS = ("not_before",)
DOC = "not_before - as_of in seconds, negative once valid."


def compute(frame: Frame, context: FactContext) -> pd.Series[Any]:
    """See DOC."""
    return series(frame, ratio(micros(delivered(frame, "not_before"), context.as_of), 1_000_000))
