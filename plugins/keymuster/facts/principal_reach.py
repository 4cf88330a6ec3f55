"""Whom a grant reaches."""

from __future__ import annotations

from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from keymuster.facts._arrays import each, known, series
from keymuster.facts._grants import EVERYONE, principal
from keymuster.frame import Frame
from keymuster.protocols import FactContext

COLUMN = "principal_reach"
TABLE = "grants"
NEEDS = ("principal_asset_id", "locator")
DOC = (
    "account where the principal is one of ours; else public where the principal element, first word of the locator, is a"
    " wildcard or a group of everyone, and external where it names somebody; null where the locator tells neither."
)


def _reach(text: str) -> str:
    return "public" if text.lower() in EVERYONE else "external"


def compute(frame: Frame, context: FactContext) -> pd.Series[Any]:
    """See DOC."""
    del context
    ours = pc.if_else(frame.arrow("principal_asset_id").is_valid(), "account", None)
    told = each(principal(frame), _reach, pa.string())
    return series(frame, known(pc.coalesce(ours, told), frame.unknown("principal_asset_id")))
