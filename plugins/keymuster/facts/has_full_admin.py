"""Principals that may do everything."""

from __future__ import annotations

from typing import Any

import pandas as pd

from keymuster.facts._grants import granted, survey  # noqa: F401 (the audit calls survey)
from keymuster.frame import Frame
from keymuster.protocols import FactContext

COLUMN = "has_full_admin"
TABLE = "principals"
NEEDS = (
    "asset_id",
    "station",
    "kind",
    "grants.principal_asset_id",
    "grants.station",
    "grants.locator",
    "grants.actions",
    "grants.resource_kind",
)
DOC = (
    "A grant with every action on every resource, or the root of the account; false where the principal's station "
    "delivers grants and none of the principal's does."
)


def compute(frame: Frame, context: FactContext) -> pd.Series[Any]:
    """See DOC."""
    return granted(frame, context, COLUMN, ("full_admin",))
