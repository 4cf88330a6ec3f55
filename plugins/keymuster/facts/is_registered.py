"""Whether an asset is in the register of record."""

from __future__ import annotations

from typing import Any

import pandas as pd

from keymuster.facts._arrays import known, series
from keymuster.facts._register import register, registered, survey  # noqa: F401 (the audit calls it)
from keymuster.frame import Frame
from keymuster.protocols import FactContext
from keymuster.schema import tables

COLUMN = "is_registered"
TABLE = tuple(tables())
NEEDS = ("station", "asset_id")
DOC = (
    "The station that policy names as register of record has a row of the same table and asset_id. Unknowable while "
    "policy names none or that station delivered nothing."
)


def compute(frame: Frame, context: FactContext) -> pd.Series[Any]:
    """See DOC."""
    station = register(context)
    return series(frame, known(registered(frame, station), frame.arrow("asset_id").is_null().to_numpy(zero_copy_only=False)))
