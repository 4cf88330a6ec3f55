"""Emergency identities."""

from __future__ import annotations

from functools import reduce
from typing import Any

import pandas as pd
import pyarrow.compute as pc

from keymuster.facts._arrays import series
from keymuster.facts._ownership import expression
from keymuster.frame import Frame
from keymuster.protocols import FactContext, Unknowable

COLUMN = "is_break_glass"
TABLE = "principals"
NEEDS = ("asset_id",)
DOC = "asset_id fits a pattern of the policy's break_glass. Unknowable while policy leaves that open."


def compute(frame: Frame, context: FactContext) -> pd.Series[Any]:
    """See DOC."""
    if context.policy.break_glass is None:
        raise Unknowable("policy names no emergency identities (break_glass); an empty list states that there are none")
    ids = frame.arrow("asset_id")
    hits = [pc.match_substring_regex(ids, expression(p), ignore_case=True) for p in context.policy.break_glass]
    return series(frame, reduce(pc.or_, hits) if hits else pc.if_else(ids.is_valid(), False, None))
