"""How many purposes one key serves."""

from __future__ import annotations

from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from keymuster.facts._arrays import series
from keymuster.frame import Frame
from keymuster.protocols import FactContext

COLUMN = "purpose_count"
TABLE = "keys"
NEEDS = ("purposes",)
DOC = "Length of purposes."


def compute(frame: Frame, context: FactContext) -> pd.Series[Any]:
    """See DOC."""
    del context
    return series(frame, pc.cast(pc.list_value_length(frame.arrow("purposes")), pa.int64()))
