"""Principals that administer, or that can use or export keys."""

from __future__ import annotations

from typing import Any

import pandas as pd

from keymuster.facts._grants import granted, survey  # noqa: F401 (the audit calls survey)
from keymuster.frame import Frame
from keymuster.protocols import FactContext

COLUMN = "is_privileged"
TABLE = "principals"
NEEDS = ("asset_id", "station", "kind", "grants.principal_asset_id", "grants.station", "grants.locator", "grants.actions")
DOC = (
    "Some grant has the capability administer, delegate, use or export, or every action, or it is the root of the "
    "account; false where its station delivers grants and none has."
)


def compute(frame: Frame, context: FactContext) -> pd.Series[Any]:
    """See DOC."""
    return granted(frame, context, COLUMN, frozenset({"full_admin", "administer", "delegate", "use", "export"}))
