"""Reserved policy OIDs of the CA/Browser Forum."""

from __future__ import annotations

from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from keymuster.facts._arrays import chosen, delivered, series
from keymuster.frame import Frame
from keymuster.protocols import FactContext

COLUMN = "reserved_policy_count"
TABLE = "certificates"
NEEDS = ("policy_oids",)
DOC = "How many of 2.23.140.1.1 (EV), 2.23.140.1.2.1 (DV), .2.2 (OV) and .2.3 (IV) are asserted (TLS BR 7.1.6.1)."

RESERVED = frozenset({"2.23.140.1.1", "2.23.140.1.2.1", "2.23.140.1.2.2", "2.23.140.1.2.3"})


def compute(frame: Frame, context: FactContext) -> pd.Series[Any]:
    """See DOC."""
    del context
    found = chosen(delivered(frame, "policy_oids"), RESERVED.__contains__)
    return series(frame, pc.cast(pc.list_value_length(found), pa.int64()))
