"""Short-lived certificates, which need no revocation pointer."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from keymuster.facts._arrays import delivered, micros, series
from keymuster.frame import Frame
from keymuster.protocols import FactContext

COLUMN = "is_short_lived"
TABLE = "certificates"
NEEDS = ("not_before", "not_after", "issued_at")
DOC = (
    "The validity, last second included, is at most 864,000 s if issued from 2024-03-15 and 604,800 s if issued from "
    "2026-03-15 (TLS BR 1.6.1)."
)

SECOND = 1_000_000
TEN_DAYS = pa.scalar(datetime(2024, 3, 15, tzinfo=UTC), pa.timestamp("us", tz="UTC"))
SEVEN_DAYS = pa.scalar(datetime(2026, 3, 15, tzinfo=UTC), pa.timestamp("us", tz="UTC"))


def compute(frame: Frame, context: FactContext) -> pd.Series[Any]:
    """See DOC."""
    del context
    span = pc.add(micros(delivered(frame, "not_after"), delivered(frame, "not_before")), SECOND)
    issued = frame.arrow("issued_at")
    limit = pc.if_else(pc.greater_equal(issued, SEVEN_DAYS), 604_800 * SECOND, 864_000 * SECOND)
    return series(frame, pc.and_(pc.less_equal(span, limit), pc.greater_equal(issued, TEN_DAYS)))
