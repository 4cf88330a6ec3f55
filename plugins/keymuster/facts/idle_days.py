"""Days without use."""

from __future__ import annotations

from typing import Any

import pandas as pd
import pyarrow.compute as pc

from keymuster.facts._arrays import days, known, series
from keymuster.frame import Frame
from keymuster.protocols import FactContext

COLUMN = "idle_days"
TABLE = ("keys", "credentials", "ssh_keys")
NEEDS = ("last_used_at", "created_at")
DOC = "as_of - last_used_at in days; counted from created_at where the provider records no use; null where it records none at all."


def compute(frame: Frame, context: FactContext) -> pd.Series[Any]:
    """See DOC."""
    since = pc.coalesce(frame.arrow("last_used_at"), frame.arrow("created_at"))
    return series(frame, known(days(context.as_of, since), frame.unknown("last_used_at")))
