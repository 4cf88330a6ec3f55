"""Whether a certificate can be relied on now."""

from __future__ import annotations

from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from keymuster.facts._arrays import series
from keymuster.frame import Frame
from keymuster.protocols import FactContext

COLUMN = "is_live"
TABLE = "certificates"
NEEDS = ("days_left", "not_before", "revocation_status")
DOC = "Between not_before and not_after, both included, and not known to be revoked; a status never checked counts as live."


def compute(frame: Frame, context: FactContext) -> pd.Series[Any]:
    """See DOC."""
    started = pc.less_equal(frame.arrow("not_before"), pa.scalar(context.as_of, pa.timestamp("us", tz="UTC")))
    valid = pc.and_kleene(started, pc.greater_equal(frame.arrow("days_left"), 0.0))
    revoked = pc.starts_with(frame.arrow("revocation_status"), "revoked").fill_null(False)
    return series(frame, pc.and_kleene(valid, pc.invert(revoked)))
