"""Names of the reverse DNS zones."""

from __future__ import annotations

from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from keymuster.facts._arrays import delivered, holds, series
from keymuster.frame import Frame
from keymuster.protocols import FactContext

COLUMN = "has_reverse_zone_name"
TABLE = "certificates"
NEEDS = ("san_names",)
DOC = "Some SAN entry lies in in-addr.arpa or ip6.arpa."


def compute(frame: Frame, context: FactContext) -> pd.Series[Any]:
    """See DOC."""
    del context
    names = delivered(frame, "san_names")
    found = pa.array(holds(names, lambda name: f".{name.lower().rstrip('.')}".endswith((".in-addr.arpa", ".ip6.arpa"))))
    return series(frame, pc.if_else(names.is_valid(), found, None))
