"""Whether wildcards keep out of the zones that policy closes to them."""

from __future__ import annotations

from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from keymuster.facts._arrays import delivered, holds, series
from keymuster.frame import Frame
from keymuster.protocols import FactContext, Unknowable

COLUMN = "is_wildcard_allowed"
TABLE = "certificates"
NEEDS = ("san_names",)
DOC = "No wildcard name lies in a zone of the policy's wildcard_closed_zones; true without wildcards."


def compute(frame: Frame, context: FactContext) -> pd.Series[Any]:
    """See DOC."""
    if context.policy.wildcard_closed_zones is None:
        raise Unknowable("policy names no zones that are closed to wildcards (wildcard_closed_zones)")
    zones = tuple("." + zone.lower().strip(".") for zone in context.policy.wildcard_closed_zones)
    names = delivered(frame, "san_names")
    closed = pa.array(holds(names, lambda name: name.startswith("*.") and name[1:].lower().rstrip(".").endswith(zones)))
    return series(frame, pc.if_else(names.is_valid(), pc.invert(closed), None))
