"""Principals that can cause issuance directly."""

from __future__ import annotations

from typing import Any

import pandas as pd

from keymuster.facts._grants import granted, survey  # noqa: F401 (the audit calls survey)
from keymuster.frame import Frame
from keymuster.protocols import FactContext

COLUMN = "can_issue_certificates"
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
    "Some grant has the capability issue, or every action, or it is the root of the account; false where its station "
    "delivers grants and none has."
)


def compute(frame: Frame, context: FactContext) -> pd.Series[Any]:
    """See DOC."""
    return granted(frame, context, COLUMN, ("full_admin", "issue"))
