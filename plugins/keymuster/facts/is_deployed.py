"""Whether something relies on a certificate where it was seen."""

from __future__ import annotations

from typing import Any

import pandas as pd
import pyarrow as pa

from keymuster.facts._arrays import delivered, looked_up, series
from keymuster.frame import Frame
from keymuster.protocols import FactContext

COLUMN = "is_deployed"
TABLE = "certificates"
NEEDS = ("role",)
DOC = (
    "By role: served, chain, client, trust_anchor and client_trust rely on it; issued, ct and repository do not; "
    "installed is null, because a store that reports no attachment leaves it open."
)

ROLES = {
    **dict.fromkeys(("served", "chain", "client", "trust_anchor", "client_trust"), True),
    **dict.fromkeys(("issued", "ct", "repository"), False),
}


def compute(frame: Frame, context: FactContext) -> pd.Series[Any]:
    """See DOC."""
    del context
    return series(frame, looked_up(delivered(frame, "role"), ROLES, pa.bool_()))
